// SPDX-License-Identifier: MIT OR Apache-2.0
//! The schemes of URLs that are ours.

use std::borrow::Cow;

use gangway::{
    http::Decimal,
    protocol::{FastCgi, Protocol, Scgi, Uwsgi},
};

/// What a backend speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    FastCgi,
    Scgi,
    Uwsgi,
}

/// A scheme: shared with a stock module, or with `gangway+` in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scheme {
    pub(crate) kind: Kind,
    own: bool,
}

/// What makes a scheme ours whatever else is loaded.
const OWN: &[u8] = b"gangway+";

impl Kind {
    pub(crate) fn protocol(self) -> &'static dyn Protocol {
        match self {
            Self::FastCgi => &FastCgi,
            Self::Scgi => &Scgi,
            Self::Uwsgi => &Uwsgi,
        }
    }

    /// The port of a URL that names none, as the stock modules have it.
    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::FastCgi => 8000,
            Self::Scgi => 4000,
            Self::Uwsgi => 3031,
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::FastCgi => b"fcgi",
            Self::Scgi => b"scgi",
            Self::Uwsgi => b"uwsgi",
        }
    }
}

impl Scheme {
    /// The scheme of a URL, and what follows the colon. `None` for one that is not ours.
    pub(crate) fn of(url: &[u8]) -> Option<(Self, &[u8])> {
        let own = after(url, OWN);
        let plain = own.unwrap_or(url);
        let (kind, rest) = [Kind::FastCgi, Kind::Scgi, Kind::Uwsgi]
            .into_iter()
            .find_map(|kind| Some((kind, after(plain, kind.name())?.strip_prefix(b":")?)))?;
        // mod_proxy_fcgi takes "fcgi:" for its own, the others want "//" too.
        let complete = kind == Kind::FastCgi || rest.starts_with(b"//");
        complete.then_some((Self { kind, own: own.is_some() }, rest))
    }

    /// The name in canonical URLs, in two parts.
    pub(crate) fn name(self) -> [&'static [u8]; 2] {
        [if self.own { OWN } else { b"" }, self.kind.name()]
    }

    /// The port that canonical URLs leave out, as mod_proxy does in the names of its workers: none where it does not know the scheme.
    pub(crate) fn hidden_port(self) -> u16 {
        if self.own { 0 } else { self.kind.default_port() }
    }

    /// A canonical URL as mod_proxy can connect to it: with a scheme that it knows, and with a port.
    pub(crate) fn to_connect<'u>(self, url: &'u [u8]) -> Cow<'u, [u8]> {
        let rest = Self::of(url).map(|(_, rest)| rest).unwrap_or_default();
        let place = rest.strip_prefix(b"//").unwrap_or(rest);
        let (host, path) = place.split_at(place.iter().position(|byte| *byte == b'/').unwrap_or(place.len()));
        if has_port(host) && place.len() < rest.len() {
            let own = if self.own { OWN.len() } else { 0 };
            return url.get(own..).unwrap_or_default().into();
        }
        let mut digits = Decimal::default();
        let port: [&[u8]; 2] =
            if has_port(host) { [b"", b""] } else { [b":", digits.write(self.kind.default_port())] };
        [self.kind.name(), b"://", host, port[0], port[1], path].concat().into()
    }
}

/// What follows a word, in letters of any case.
fn after<'u>(text: &'u [u8], word: &[u8]) -> Option<&'u [u8]> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

/// Whether `host` or `[host]` is followed by a port.
fn has_port(place: &[u8]) -> bool {
    let after = place.iter().rposition(|byte| *byte == b']').map_or(0, |at| at + 1);
    place.get(after..).is_some_and(|rest| rest.contains(&b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_found_in_any_case() {
        for (url, kind, own, rest) in [
            ("fcgi://h/p", Kind::FastCgi, false, "//h/p"),
            ("FCGI:h", Kind::FastCgi, false, "h"),
            ("scgi://h/", Kind::Scgi, false, "//h/"),
            ("uwsgi://h/", Kind::Uwsgi, false, "//h/"),
            ("gangway+fcgi://h/", Kind::FastCgi, true, "//h/"),
            ("Gangway+UWSGI://h/", Kind::Uwsgi, true, "//h/"),
        ] {
            let expected = Some((Scheme { kind, own }, rest.as_bytes()));
            assert_eq!(Scheme::of(url.as_bytes()), expected, "{url}");
        }
        for url in ["http://h/", "fcgi", "xfcgi://h/", "scgi:h", "gangway+http://h/", "", "gangway://h"] {
            assert_eq!(Scheme::of(url.as_bytes()), None, "{url}");
        }
    }

    #[test]
    fn mod_proxy_gets_a_scheme_and_a_port() {
        for (url, expected) in [
            ("fcgi://h/p:1", "fcgi://h:8000/p:1"),
            ("gangway+fcgi://h:9000/p", "fcgi://h:9000/p"),
            ("uwsgi://[::1]/p", "uwsgi://[::1]:3031/p"),
            ("gangway+scgi://[::1]:5", "scgi://[::1]:5"),
        ] {
            let (scheme, _) = Scheme::of(url.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(scheme.to_connect(url.as_bytes()).into_owned()).unwrap(), expected);
        }
    }
}
