// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bodies of the fuzz targets below fuzz/: what must hold for any bytes. `cargo test` replays the committed corpus.

mod applications;
mod gateways;
mod lanes;
pub(crate) mod reference;
mod scripts;
#[cfg(test)]
mod tests;
mod websocket;

pub use applications::fastcgi_request;
#[cfg(test)]
pub(crate) use gateways::encode_all;
pub use gateways::{cgi_response, fastcgi_response, request, scgi_uwsgi_response, script};
pub use lanes::lanes;
pub use scripts::{cgi_path, relay, spawn_request, stderr};
pub use websocket::{websocket, websocket_handshake};

use std::{path::Path, time::Duration};

use crate::{
    cgi::{Facts, Param, meta_variables, split_mount},
    config::Parser,
    engine::{Interface, OptionDef, Target, Value},
    http::{Fields, Head, HeadError, Layout, is_connection_field, is_field_name, is_field_value},
    log::escape,
};

/// Between the parts of an input: a byte that no UTF-8 text holds, so that texts stay readable in the corpus.
const PART: u8 = 0xff;
/// Between the name and the value of a pair.
const PAIR: u8 = 0xfe;

fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == PART)
}

fn pairs(data: &[u8]) -> Vec<(&[u8], &[u8])> {
    parts(data)
        .map(|part| match part.iter().position(|byte| *byte == PAIR) {
            Some(at) => (part.get(..at).unwrap_or_default(), part.get(at + 1..).unwrap_or_default()),
            None => (part, &[][..]),
        })
        .collect()
}

/// A response head: two bytes of status, then a reason and pairs.
///
/// # Panics
/// When a head passes that must not be sent, or one is refused without a cause.
pub fn head(data: &[u8]) {
    let (status, rest) = data.split_at(data.len().min(2));
    let status = status.iter().fold(0u16, |number, byte| number << 8 | u16::from(*byte));
    let reason = parts(rest).next().unwrap_or_default();
    let headers = rest.get(reason.len() + 1..).map(pairs).unwrap_or_default();
    let sound = |(name, value): &(&[u8], &[u8])| is_field_name(name) && is_field_value(value);
    match Head::check(status, reason, headers.iter().copied()) {
        Ok(head) => {
            assert!((200..=599).contains(&head.status) && head.status == status);
            assert!(is_field_value(&head.reason) && headers.iter().all(sound));
            assert!(head.fields.iter().all(|(name, value)| {
                sound(&(name, value))
                    && !is_connection_field(name)
                    && !name.eq_ignore_ascii_case(b"content-length")
                    && value.trim_ascii() == value
            }));
            assert!(head.content_length.is_none_or(|length| i64::try_from(length).is_ok()));
            assert!(!head.forbids_body() || head.content_length.is_none());
        }
        Err(HeadError::Status(refused)) => assert!(refused == status && !(200..=599).contains(&status)),
        Err(HeadError::Reason(_)) => assert!(!is_field_value(reason)),
        Err(HeadError::Name(_) | HeadError::Value(..)) => assert!(!headers.iter().all(sound)),
        Err(HeadError::Length(_)) => {
            let lengths = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"content-length"));
            let lengths: Vec<_> = lengths.map(|(_, value)| value.trim_ascii()).collect();
            let parsed = |value: &&[u8]| std::str::from_utf8(value).ok()?.parse::<i64>().ok();
            let first = lengths.first().and_then(parsed);
            assert!(lengths.iter().any(|value| {
                parsed(value) != first || first.is_none() || !value.iter().all(u8::is_ascii_digit)
            }));
        }
    }
}

/// A request: mount, path, a parameter, then request headers.
///
/// # Panics
/// When a variable stands twice, has a name that a header must not get, or the path is not whole.
pub fn variables(data: &[u8]) {
    let mut all = pairs(data).into_iter();
    let (mount, path) = all.next().unwrap_or_default();
    let (script, info) = split_mount(mount, path);
    assert!(
        [script, info].concat() == path && (info.is_empty() || script.is_empty() || info.starts_with(b"/"))
    );
    let (name, value) = all.next().unwrap_or_default();
    let params = [Param { name, value, if_not_empty: value.len() % 2 == 1 }];
    let facts = Facts { mount, path, pass_authorization: path.len() % 2 == 1, ..Facts::default() };
    let variables = meta_variables(&facts, all, &params);
    let mut names: Vec<&[u8]> = variables.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair.first() != pair.last()), "a variable stands twice");
    for known in names.into_iter().filter(|known| *known != name) {
        assert!(known.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_'));
        assert!(![&b"HTTP_PROXY"[..], b"HTTP_CONTENT_LENGTH", b"HTTP_TRANSFER_ENCODING"].contains(&known));
        assert!(facts.pass_authorization || known != b"HTTP_AUTHORIZATION");
    }
}

/// What an engine may state.
fn interface() -> Interface {
    let option = |name, value| OptionDef { name, value, repeats: name == "env", default: "none" };
    let options = vec![
        option("root", Value::Directory),
        option("python", Value::Text),
        option("env", Value::Assignment),
        option("env_file", Value::File),
        option("debug", Value::Switch),
        option("level", Value::Count(1, 9)),
        option("idle", Value::Time),
        option("size", Value::Size),
    ];
    let target = Target::Member("callable");
    Interface {
        name: "test",
        target,
        target_form: "PLACE:CALLABLE",
        options,
        is_async: false,
        has_sockets: false,
        has_fields: false,
        forgets_head: false,
    }
}

/// The words of a handler directive.
///
/// # Panics
/// When words pass that break a bound, or a refusal does not say what is wrong.
pub fn words(data: &[u8]) {
    let words: Vec<&[u8]> = parts(data).collect();
    let parser = Parser { base: Path::new("/"), timeout: Some(Duration::from_secs(60)) };
    let interface = interface();
    match parser.application(&Path::new("/engine.so").into(), &interface, &words) {
        Ok(application) => {
            let spec = application.spec();
            assert!(spec.name.contains(':') && spec.target == spec.name.as_bytes());
            assert!((1..=1024).contains(&spec.threads) && application.queue() <= 1_000_000);
            assert!(application.timeout().is_none_or(|time| !time.is_zero()));
            assert!(spec.options.len() < words.len());
            for (key, _) in &spec.options {
                assert!(interface.options.iter().any(|option| option.name == key));
            }
        }
        Err(error) => assert!(!error.text.is_empty() && error.to_string().starts_with("GW01")),
    }
}

/// A list of pairs against a vector of pairs: a byte says what to do, the next one where.
///
/// # Panics
/// When the two differ.
pub fn fields(data: &[u8]) {
    [Layout::Terminated, Layout::FastCgi, Layout::Uwsgi]
        .into_iter()
        .for_each(|layout| fields_of(layout, data));
}

fn fields_of(layout: Layout, data: &[u8]) {
    let (mut fields, mut model) = (Fields::default(), Vec::<(Vec<u8>, Vec<u8>)>::new());
    fields.push(b"of a request", b"before");
    fields.begin(layout);
    for (word, more) in pairs(data) {
        let (what, at) = match *word {
            [what, at, ..] => (what % 5, usize::from(at) % (model.len() + 1)),
            _ => continue,
        };
        match (what, model.get_mut(at)) {
            (0, Some((_, value))) => {
                fields.append_to(at, b", ", more);
                value.extend_from_slice(b", ");
                value.extend_from_slice(more);
            }
            (1, Some((_, value))) => {
                fields.replace(at, more);
                *value = more.to_vec();
            }
            (2, Some(_)) => {
                fields.remove(at);
                model.remove(at);
            }
            (0..=2, None) => {
                // Beyond the end nothing happens.
                fields.append_to(at, b"x", more);
                fields.replace(at, more);
                fields.remove(at);
            }
            (3, _) => {
                fields.push_mapped(b"X_", word, |byte| byte.to_ascii_uppercase(), more);
                model.push(([b"X_", word.to_ascii_uppercase().as_slice()].concat(), more.to_vec()));
            }
            _ => {
                fields.push(word, more);
                model.push((word.to_vec(), more.to_vec()));
            }
        }
        assert!(fields.position(word) == model.iter().position(|(name, _)| name == word));
    }
    assert!(fields.len() == model.len() && fields.is_empty() == model.is_empty());
    assert!(fields.iter().eq(model.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))));
}

/// A line for the log.
///
/// # Panics
/// When a control byte passes, or a line changes when it passes twice.
pub fn line(data: &[u8]) {
    let line = escape(data);
    assert!(line.chars().all(|c| c == '\t' || !c.is_control()));
    assert_eq!(escape(line.as_bytes()), line);
}
