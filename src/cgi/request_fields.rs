// SPDX-License-Identifier: MIT OR Apache-2.0
//! The header fields of a request as they came, for applications whose interface has a list of them and no variables.

use super::variables::{
    Facts, Param, has_one_spelling, is_passed, is_variable, may_be_spelled, write_meta_variables,
};
use crate::http::{Decimal, Fields};

/// What an application is told of a request: variables alone, or, where `fields` is a list for them, the headers there and no variables
/// made of them. Both lists are empty before.
pub fn write_request<'a>(
    variables: &mut Fields,
    fields: Option<&mut Fields>,
    facts: &Facts<'_>,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    params: &[Param<'_>],
) {
    match fields {
        Some(fields) => {
            write_request_fields(fields, facts, headers, params);
            write_meta_variables(variables, facts, std::iter::empty(), params);
        }
        None => write_meta_variables(variables, facts, headers, params),
    }
}

/// Writes them into an empty list: in order, names in lower case, several of one name one after another. What never becomes a
/// variable is not here either, but for names with a second spelling, which are as good as others here: of those that would be
/// taken for another one by an application that makes variables of them itself, the real one alone passes.
fn write_request_fields<'a>(
    fields: &mut Fields,
    facts: &Facts<'_>,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    params: &[Param<'_>],
) {
    let headers: Vec<_> = headers.collect();
    let is_set = |name: &[u8]| {
        params.iter().filter(|param| !param.if_not_empty || !param.value.is_empty()).any(|param| {
            param.name.strip_prefix(b"HTTP_").is_some_and(|variable| is_variable(name, variable))
        })
    };
    let mut length = Decimal::default();
    let mut length = facts.content_length.map(|number| length.write(number));
    for (name, value) in &headers {
        if name.eq_ignore_ascii_case(b"content-length") {
            // That of the body as the application reads it.
            if let Some(length) = length.take() {
                fields.push(b"content-length", length);
            }
        } else if (name.eq_ignore_ascii_case(b"content-type") || is_told(name, facts, &headers))
            && !is_set(name)
        {
            push(fields, name, value);
        }
    }
    if let Some(length) = length {
        fields.push(b"content-length", length);
    }
    for param in params {
        if let Some(variable) = param.name.strip_prefix(b"HTTP_")
            && (!param.if_not_empty || !param.value.is_empty())
        {
            let as_field = |byte| if byte == b'_' { b'-' } else { u8::to_ascii_lowercase(&byte) };
            fields.push_mapped(b"", variable, as_field, param.value);
        }
    }
}

fn is_told(name: &[u8], facts: &Facts<'_>, headers: &[(&[u8], &[u8])]) -> bool {
    if has_one_spelling(name) {
        return is_passed(name, facts.pass_authorization);
    }
    let is_real = |other: &[u8]| {
        has_one_spelling(other)
            && other.len() == name.len()
            && other.iter().zip(name).all(|(one, other)| match other {
                b'_' | b'-' => *one == b'-',
                _ => one.eq_ignore_ascii_case(other),
            })
    };
    may_be_spelled(name) && !headers.iter().any(|(other, _)| is_real(other))
}

fn push(fields: &mut Fields, name: &[u8], value: &[u8]) {
    fields.push_mapped(b"", name, |byte| u8::to_ascii_lowercase(&byte), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(facts: Facts<'_>, headers: &[(&str, &str)], params: &[Param<'_>]) -> Vec<String> {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut fields = Fields::default();
        write_request_fields(&mut fields, &facts, headers, params);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        fields.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect()
    }

    #[test]
    fn fields_stay_as_they_came() {
        let found =
            build(Facts::default(), &[("B", "1"), ("A", "x"), ("b", "2"), ("Content-Type", "t")], &[]);
        assert_eq!(found, ["b=1", "a=x", "b=2", "content-type=t"]);
    }

    #[test]
    fn the_length_is_that_of_the_body() {
        let facts = Facts { content_length: Some(5), ..Facts::default() };
        assert_eq!(build(facts, &[("Content-Length", "9"), ("A", "x")], &[]), ["content-length=5", "a=x"]);
        let found = build(facts, &[("Transfer-Encoding", "chunked"), ("A", "x")], &[]);
        assert_eq!(found, ["a=x", "content-length=5"]);
        assert_eq!(build(Facts::default(), &[("Content-Length", "9")], &[]), [""; 0]);
    }

    #[test]
    fn other_spellings_pass_where_they_are_nobody_elses() {
        let headers = [
            ("X_Token", "a"),
            ("X_Forwarded_For", "evil"),
            ("X-Key", "b"),
            ("X_Key", "evil"),
            ("Proxy", "evil"),
        ];
        assert_eq!(build(Facts::default(), &headers, &[]), ["x_token=a", "x-key=b"]);
    }

    #[test]
    fn credentials_pass_where_that_is_allowed() {
        let headers = [("Authorization", "Basic x")];
        assert_eq!(build(Facts::default(), &headers, &[]), [""; 0]);
        let facts = Facts { pass_authorization: true, ..Facts::default() };
        assert_eq!(build(facts, &headers, &[]), ["authorization=Basic x"]);
    }

    #[test]
    fn the_administrator_wins() {
        let params = [
            Param { name: b"HTTP_X_USER", value: b"me", if_not_empty: false },
            Param { name: b"HTTP_X_OTHER", value: b"", if_not_empty: true },
            Param { name: b"PLAIN", value: b"x", if_not_empty: false },
        ];
        let found = build(Facts::default(), &[("X-User", "evil"), ("X-Other", "stays")], &params);
        assert_eq!(found, ["x-other=stays", "x-user=me"]);
    }
}
