// SPDX-License-Identifier: MIT OR Apache-2.0
//! `env_file=`: lines NAME=VALUE, as systemd's EnvironmentFile and docker's --env-file have them.

use std::{collections::HashMap, fs, path::Path, path::PathBuf, sync::Mutex, sync::PoisonError};

use crate::{access, spec::Refusal};

/// A file of secrets is often readable by root alone, and the workers are not root: what check() read in the
/// master process is inherited by the workers.
static READ: Mutex<Option<HashMap<PathBuf, Vec<u8>>>> = Mutex::new(None);

type Variables = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads the file; what was read before is used where it cannot be read any more.
pub(crate) fn read(path: &Path) -> Result<Variables, Refusal> {
    let mut cache = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = cache.get_or_insert_default();
    match fs::read(path) {
        Ok(content) => {
            cache.insert(path.to_owned(), content);
        }
        Err(_) if cache.contains_key(path) => {}
        Err(error) => {
            return Err(format!(
                "cannot read env_file={}: {error}; {}",
                path.display(),
                access::advice(path, &error)
            ));
        }
    }
    let content = cache.get(path).map(Vec::as_slice).unwrap_or_default();
    parse(content).map_err(|line| {
        format!("env_file={} line {line} is not of the form NAME=VALUE, a comment or empty", path.display())
    })
}

/// The variables, or the number of the line that is none.
fn parse(content: &[u8]) -> Result<Variables, usize> {
    let mut variables = Vec::new();
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") || line.starts_with(b";") {
            continue;
        }
        let line = line.strip_prefix(b"export ").map_or(line, <[u8]>::trim_ascii_start);
        let at = line.iter().position(|byte| *byte == b'=').ok_or(index + 1)?;
        let name = line[..at].trim_ascii_end();
        if name.is_empty() || line.contains(&0) || name.contains(&b' ') {
            return Err(index + 1);
        }
        variables.push((name.to_vec(), unquote(line[at + 1..].trim_ascii_start()).to_vec()));
    }
    Ok(variables)
}

/// A value may stand in single or double quotes, which are not part of it.
fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_understood() {
        let text =
            b"# comment\n\nA=1\r\nexport B=two words\nC=\"quoted # not a comment\"\nD='x'\nE=\n; also\nF=a=b";
        let got = parse(text).expect("valid");
        let want: &[(&[u8], &[u8])] = &[
            (b"A", b"1"),
            (b"B", b"two words"),
            (b"C", b"quoted # not a comment"),
            (b"D", b"x"),
            (b"E", b""),
            (b"F", b"a=b"),
        ];
        let got: Vec<_> = got.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn the_wrong_line_is_named() {
        assert_eq!(parse(b"A=1\nnonsense\n"), Err(2));
        assert_eq!(parse(b"=1"), Err(1));
        assert_eq!(parse(b"A B=1"), Err(1));
        assert_eq!(parse(b"A=\0"), Err(1));
    }

    #[test]
    fn a_file_that_became_unreadable_keeps_what_was_read() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("secrets");
        assert!(read(&path).expect_err("missing").contains("cannot read env_file="));
        fs::write(&path, "KEY=1").expect("write");
        assert_eq!(read(&path), Ok(vec![(b"KEY".to_vec(), b"1".to_vec())]));
        fs::remove_file(&path).expect("remove");
        assert_eq!(read(&path), Ok(vec![(b"KEY".to_vec(), b"1".to_vec())]));
    }
}
