// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the variables that a web server sends to those that an application gets.
//!
//! The rules are those of the server modules, as far as somebody else's choice of variables leaves room for them.

use std::time::Duration;

use gangway::{
    exchange::RequestHead, http::Fields, protocol::fastcgi::Pairs, supervise::ARRIVED, sys::monotonic,
};

/// What the configuration says of variables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// Whether the application may see `Authorization`.
    pub(crate) pass_authorization: bool,
    /// The web server is one of our modules.
    pub(crate) is_managed: bool,
}

/// A request as its web server tells it.
#[derive(Debug)]
pub(crate) struct ToldRequest {
    pub(crate) head: RequestHead,
    /// How long it has been in the web server.
    pub(crate) waited: Duration,
}

/// Why the variables make no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A pair is not whole.
    Cut,
    /// CONTENT_LENGTH is no number.
    Length,
    /// There is no REQUEST_METHOD.
    Method,
}

impl Defect {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Cut => "its variables end in the middle of one",
            Self::Length => "its CONTENT_LENGTH is not one decimal number",
            Self::Method => {
                "it has no REQUEST_METHOD; pass the standard variables (nginx: include fastcgi_params)"
            }
        }
    }
}

/// Whether a variable is passed on. Empty ones of a body say that there is none; a header `Proxy` would become the HTTP_PROXY
/// of programs that the application runs (CVE-2016-5385 and kin).
fn is_passed(name: &[u8], value: &[u8], rules: Rules) -> bool {
    match name {
        b"CONTENT_LENGTH" | b"CONTENT_TYPE" | b"HTTPS" => !value.is_empty(),
        b"HTTP_PROXY" | b"HTTP_CONTENT_LENGTH" | b"HTTP_CONTENT_TYPE" | b"HTTP_TRANSFER_ENCODING" => false,
        b"HTTP_AUTHORIZATION" | b"HTTP_PROXY_AUTHORIZATION" => rules.pass_authorization,
        _ => true,
    }
}

/// Makes the head of a request. `no_body`: the web server has said already that there is no body.
pub(crate) fn head(pairs: &[u8], no_body: bool, rules: Rules) -> Result<ToldRequest, Defect> {
    let mut head =
        RequestHead { variables: Fields::with_capacity(48, pairs.len()), ..RequestHead::default() };
    let mut method: Option<&[u8]> = None;
    let mut script: Option<&[u8]> = None;
    let (mut has_path, mut waited) = (false, Duration::ZERO);
    let mut iterator = Pairs::new(pairs);
    for (name, value) in iterator.by_ref().filter(|(name, value)| is_passed(name, value, rules)) {
        match name {
            b"CONTENT_LENGTH" => head.content_length = Some(length(value).ok_or(Defect::Length)?),
            b"REQUEST_METHOD" => method = Some(value),
            b"SCRIPT_NAME" => {
                // Its place is at the end, for what it is depends on what else there is.
                script = Some(value);
                continue;
            }
            b"PATH_INFO" => has_path = true,
            ARRIVED if rules.is_managed => {
                waited = since(value);
                continue;
            }
            _ => {}
        }
        head.variables.push(name, value);
    }
    if iterator.rest() > 0 {
        return Err(Defect::Cut);
    }
    let method = method.filter(|method| !method.is_empty()).ok_or(Defect::Method)?;
    head.no_body = method == b"HEAD";
    if no_body && head.content_length.is_none() {
        head.content_length = Some(0);
    }
    let script = script.unwrap_or_default();
    if has_path {
        head.variables.push(b"SCRIPT_NAME", script);
    } else {
        // A web server that sends no PATH_INFO has not split the path: it knows no mount, so all of it is the application's.
        head.variables.push(b"SCRIPT_NAME", b"");
        head.variables.push(b"PATH_INFO", script);
    }
    Ok(ToldRequest { head, waited })
}

/// How long ago it was so many milliseconds, on the clock of the machine.
fn since(moment: &[u8]) -> Duration {
    let moment = std::str::from_utf8(moment).ok().and_then(|text| text.parse().ok());
    moment.map_or(Duration::ZERO, |moment| monotonic().saturating_sub(Duration::from_millis(moment)))
}

fn length(value: &[u8]) -> Option<u64> {
    let text =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    // Larger ones are no lengths of anything.
    text.parse().ok().filter(|length| i64::try_from(*length).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in list {
            for part in [name, value] {
                match u8::try_from(part.len()) {
                    Ok(length @ 0..=127) => bytes.push(length),
                    _ => {
                        bytes.extend_from_slice(&(u32::try_from(part.len()).unwrap() | 1 << 31).to_be_bytes())
                    }
                }
            }
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        bytes
    }

    fn get<'h>(head: &'h RequestHead, name: &str) -> Option<&'h str> {
        head.variables.get(name.as_bytes()).map(|value| std::str::from_utf8(value).unwrap())
    }

    #[test]
    fn variables_are_passed_on() {
        let list = [
            ("REQUEST_METHOD", "GET"),
            ("SCRIPT_NAME", "/blog"),
            ("PATH_INFO", "/a b"),
            ("QUERY_STRING", ""),
            ("HTTP_X", &"v".repeat(300)),
        ];
        let head = head(&pairs(&list), false, Rules::default()).unwrap().head;
        for (name, value) in list {
            assert_eq!(get(&head, name), Some(value));
        }
        assert_eq!((head.variables.len(), head.content_length, head.no_body), (5, None, false));
    }

    #[test]
    fn a_path_that_was_not_split_is_the_applications() {
        let head =
            head(&pairs(&[("SCRIPT_NAME", "/a/b"), ("REQUEST_METHOD", "HEAD")]), true, Rules::default())
                .unwrap()
                .head;
        assert_eq!((get(&head, "SCRIPT_NAME"), get(&head, "PATH_INFO")), (Some(""), Some("/a/b")));
        assert!(head.no_body && head.content_length == Some(0));
    }

    #[test]
    fn what_an_application_must_not_see_is_left_out() {
        let list = [
            ("REQUEST_METHOD", "GET"),
            ("HTTP_PROXY", "evil"),
            ("HTTP_AUTHORIZATION", "Basic x"),
            ("HTTP_TRANSFER_ENCODING", "chunked"),
            ("CONTENT_LENGTH", ""),
            ("CONTENT_TYPE", ""),
            ("HTTPS", ""),
            ("PATH_INFO", "/"),
        ];
        let without = head(&pairs(&list), false, Rules::default()).unwrap().head;
        let names: Vec<_> = without.variables.iter().map(|(name, _)| name.to_vec()).collect();
        assert_eq!(names, [&b"REQUEST_METHOD"[..], b"PATH_INFO", b"SCRIPT_NAME"]);
        let with =
            head(&pairs(&list), false, Rules { pass_authorization: true, is_managed: false }).unwrap().head;
        assert_eq!(get(&with, "HTTP_AUTHORIZATION"), Some("Basic x"));
    }

    #[test]
    fn a_server_of_ours_says_when_a_request_has_come() {
        let then = (monotonic() - Duration::from_millis(700)).as_millis().to_string();
        let list = [("REQUEST_METHOD", "GET"), ("PATH_INFO", "/"), ("GANGWAY_ARRIVED", &then)];
        let told = head(&pairs(&list), false, Rules { is_managed: true, ..Rules::default() }).unwrap();
        assert!(
            (700..5000).contains(&told.waited.as_millis()) && get(&told.head, "GANGWAY_ARRIVED").is_none()
        );
        let other = head(&pairs(&list), false, Rules::default()).unwrap();
        assert!(other.waited.is_zero() && get(&other.head, "GANGWAY_ARRIVED").is_some());
        for odd in ["", "-1", "x", "99999999999999999999", "9999999999999999999"] {
            assert_eq!(since(odd.as_bytes()), Duration::ZERO, "{odd}");
        }
    }

    #[test]
    fn defects_are_told() {
        let whole = [("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", "12")];
        assert_eq!(head(&pairs(&whole), false, Rules::default()).unwrap().head.content_length, Some(12));
        for bad in ["-1", "+1", "1 ", "0x1", "99999999999999999999", "9223372036854775808"] {
            let list = [("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", bad)];
            assert_eq!(head(&pairs(&list), false, Rules::default()).err(), Some(Defect::Length), "{bad}");
        }
        assert_eq!(head(b"", false, Rules::default()).err(), Some(Defect::Method));
        assert_eq!(
            head(&pairs(&[("REQUEST_METHOD", "")]), false, Rules::default()).err(),
            Some(Defect::Method)
        );
    }

    proptest! {
        #[test]
        fn any_cut_is_a_defect_or_the_end_of_a_pair(cut in 0usize..60) {
            let all = pairs(&[("REQUEST_METHOD", "GET"), ("A", "1"), ("LONG", &"v".repeat(20))]);
            let cut = cut.min(all.len());
            let found = head(&all[..cut], false, Rules::default());
            let ends = [0, 19, 23, all.len()];
            prop_assert_eq!(found.as_ref().err() == Some(&Defect::Cut), !ends.contains(&cut), "{}", cut);
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = head(&bytes, false, Rules::default());
        }
    }
}
