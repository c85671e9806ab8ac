// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a script is told: its environment and its words.

use crate::{config::Cgi, http::Fields};

/// Where scripts find programs, unless `env=PATH=...` says otherwise.
const PATH: &str = "PATH=/usr/local/bin:/usr/bin:/bin";

/// Why a request cannot be given to a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A variable holds a NUL byte: no environment can hold it.
    #[error("the variable {0} holds a NUL byte")]
    Nul(String),
    /// A value looks like a function of bash (CVE-2014-6271), and `refuse_shellshock` is on.
    #[error(
        "the variable {0} begins with \"() {{\", which an old bash would run (refuse_shellshock=off lets it pass)"
    )]
    Shellshock(String),
    /// No run bit and no interpreter.
    #[error("{0} has no run bit and its suffix no interpreter=; chmod +x it or name an interpreter")]
    NotExecutable(String),
}

impl RunError {
    /// The status that answers the request.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Nul(_) | Self::Shellshock(_) => 400,
            Self::NotExecutable(_) => 403,
        }
    }
}

/// A script's program, words and environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// What is executed.
    pub program: Vec<u8>,
    /// The words after the program's name.
    pub arguments: Vec<Vec<u8>>,
    /// `NAME=VALUE` with a NUL behind each.
    pub environment: Vec<u8>,
}

/// Puts together what a script is told. `variables` are those of the request, in which the administrator's are
/// included; `script` is its file.
///
/// # Errors
/// When the request cannot be given to it.
pub fn words(cgi: &Cgi, variables: &Fields, script: &[u8], executable: bool) -> Result<Words, RunError> {
    let interpreter = cgi.interpreter(script);
    let mut arguments = Vec::new();
    let program = match interpreter {
        Some(interpreter) => {
            arguments.push(script.to_vec());
            interpreter.to_vec()
        }
        None if executable => script.to_vec(),
        None => return Err(RunError::NotExecutable(crate::log::escape(script))),
    };
    if cgi.args() {
        let method = variables.get(b"REQUEST_METHOD").unwrap_or_default();
        let query = variables.get(b"QUERY_STRING").unwrap_or_default();
        if method == b"GET" || method == b"HEAD" {
            arguments.extend(indexed_query(query));
        }
    }
    Ok(Words { program, arguments, environment: environment(cgi, variables, interpreter.is_some())? })
}

/// The variables that only the administrator's `env=` and `pass_env=` and this function decide come first, in which
/// those of the request may not be replaced: a client decides over `HTTP_*` only.
fn environment(cgi: &Cgi, variables: &Fields, interpreted: bool) -> Result<Vec<u8>, RunError> {
    let mut block = Vec::with_capacity(2048);
    let mut add = |parts: &[&[u8]]| {
        parts.iter().for_each(|part| block.extend_from_slice(part));
        block.push(0);
    };
    let own = cgi.environment();
    let is_own = |name: &[u8]| own.iter().any(|(known, _)| known.as_bytes() == name);
    if !is_own(b"PATH") && variables.position(b"PATH").is_none() {
        add(&[PATH.as_bytes()]);
    }
    for (name, value) in own.iter().filter(|(name, _)| variables.position(name.as_bytes()).is_none()) {
        add(&[name.as_bytes(), b"=", value.as_bytes()]);
    }
    // php-cgi with cgi.force_redirect wants to see that a server has chosen the script (CVE-2012-1823 and kin).
    if interpreted && variables.position(b"REDIRECT_STATUS").is_none() && !is_own(b"REDIRECT_STATUS") {
        add(&[b"REDIRECT_STATUS=200"]);
    }
    for (name, value) in variables.iter() {
        // It takes the header `Redirect-Status` for the same, which any client can send.
        if name == b"HTTP_REDIRECT_STATUS" {
            continue;
        }
        if value.contains(&0) || name.contains(&0) || name.contains(&b'=') {
            return Err(RunError::Nul(crate::log::escape(name)));
        }
        if cgi.refuse_shellshock() && value.starts_with(b"() {") {
            return Err(RunError::Shellshock(crate::log::escape(name)));
        }
        add(&[name, b"=", value]);
    }
    Ok(block)
}

/// RFC 3875 §4.4: the words of a query without an unencoded `=`, decoded. All of them or none.
fn indexed_query(query: &[u8]) -> Vec<Vec<u8>> {
    if query.is_empty() || query.contains(&b'=') {
        return Vec::new();
    }
    query.split(|byte| *byte == b'+').map(decode).collect::<Option<_>>().unwrap_or_default()
}

fn decode(word: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let text = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_hexdigit))?;
        let value = u8::from_str_radix(text, 16).ok().filter(|value| *value != 0)?;
        decoded.push(value);
        rest = after;
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Parser;

    fn cgi(words: &[&str]) -> Cgi {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        Parser { base: Path::new("/"), timeout: None }.cgi(&words).unwrap()
    }

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        pairs.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()));
        fields
    }

    fn told(cgi: &Cgi, pairs: &[(&str, &str)]) -> Vec<String> {
        let block = words(cgi, &fields(pairs), b"/srv/a.cgi", true).unwrap().environment;
        let block = String::from_utf8(block).unwrap();
        block.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn the_environment_is_chosen() {
        let pairs = [("REQUEST_METHOD", "GET"), ("HTTP_REDIRECT_STATUS", "200"), ("X", "request")];
        assert_eq!(told(&cgi(&[]), &pairs), [PATH, "REQUEST_METHOD=GET", "X=request"]);
        assert_eq!(
            told(&cgi(&["env=PATH=/opt", "env=X=own", "env=A=b=c"]), &pairs),
            ["PATH=/opt", "A=b=c", "REQUEST_METHOD=GET", "X=request"]
        );
    }

    #[test]
    fn one_word_is_the_rule() {
        let found = words(&cgi(&[]), &fields(&[("QUERY_STRING", "-s")]), b"/srv/a.cgi", true).unwrap();
        assert_eq!((found.program, found.arguments), (b"/srv/a.cgi".to_vec(), Vec::new()));
    }

    #[test]
    fn an_interpreter_gets_the_script_and_says_that_it_was_called_properly() {
        let cgi = cgi(&["interpreter=.sh:/bin/sh"]);
        let found = words(&cgi, &fields(&[]), b"/srv/a.sh", false).unwrap();
        assert_eq!((found.program, found.arguments), (b"/bin/sh".to_vec(), vec![b"/srv/a.sh".to_vec()]));
        assert!(found.environment.windows(20).any(|part| part == b"REDIRECT_STATUS=200\0"));
        let error = words(&cgi, &fields(&[]), b"/srv/a.py", false).unwrap_err();
        assert!(error.to_string().contains("chmod +x"), "{error}");
    }

    #[test]
    fn indexed_queries_become_words_when_asked_for() {
        for (method, query, expected) in [
            ("GET", "a+b%20c+", &["a", "b c", ""][..]),
            ("HEAD", "x", &["x"]),
            ("POST", "x", &[]),
            ("GET", "a=b", &[]),
            ("GET", "", &[]),
            ("GET", "a%00b", &[]),
            ("GET", "a+%zz", &[]),
            ("GET", "a%4", &[]),
        ] {
            let variables = fields(&[("REQUEST_METHOD", method), ("QUERY_STRING", query)]);
            let found = words(&cgi(&["args=on"]), &variables, b"/srv/a.cgi", true).unwrap().arguments;
            let found: Vec<_> = found.iter().map(|word| String::from_utf8_lossy(word)).collect();
            assert_eq!(found, expected, "{method} {query}");
        }
    }

    #[test]
    fn functions_of_bash_are_refused() {
        let variables = fields(&[("HTTP_USER_AGENT", "() { :;}; echo x")]);
        let error = words(&cgi(&[]), &variables, b"/srv/a.cgi", true).unwrap_err();
        assert!(matches!(&error, RunError::Shellshock(name) if name == "HTTP_USER_AGENT"), "{error}");
        assert!(words(&cgi(&["refuse_shellshock=off"]), &variables, b"/srv/a.cgi", true).is_ok());
        let variables = fields(&[("PATH_INFO", "a\0b")]);
        assert!(matches!(words(&cgi(&[]), &variables, b"/srv/a.cgi", true), Err(RunError::Nul(_))));
    }
}
