// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a location passes its requests, and by which protocol.

use gangway::protocol::{self, Protocol};

use crate::raw::ConfText;

/// A protocol to a backend, as `gangway_pass` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    FastCgi,
    Scgi,
    Uwsgi,
    /// uwsgi over TLS.
    Suwsgi,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::FastCgi, Self::Scgi, Self::Uwsgi, Self::Suwsgi];

    /// The word before `://`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FastCgi => "fastcgi",
            Self::Scgi => "scgi",
            Self::Uwsgi => "uwsgi",
            Self::Suwsgi => "suwsgi",
        }
    }

    /// How its bytes are written and read.
    pub(crate) fn protocol(self) -> &'static dyn Protocol {
        match self {
            Self::FastCgi => &protocol::FastCgi,
            Self::Scgi => &protocol::Scgi,
            Self::Uwsgi | Self::Suwsgi => &protocol::Uwsgi,
        }
    }

    /// Whether the connection is one of TLS.
    pub(crate) fn is_tls(self) -> bool {
        self == Self::Suwsgi
    }
}

/// Where a location passes its requests.
#[derive(Clone, Copy)]
pub(crate) enum Pass {
    /// To the group or address that is in `conf.upstream`.
    Group(Scheme),
    /// To an address that each request makes of its variables.
    Address(Scheme, ConfText),
    /// To a `SCHEME://TARGET` that each request makes of its variables; [`split_scheme`] takes it apart.
    Url(ConfText),
}

impl Pass {
    /// Whether a connection may be one of TLS.
    #[cfg(ngx_feature = "ssl")]
    pub(crate) fn may_be_tls(self) -> bool {
        match self {
            Self::Group(scheme) | Self::Address(scheme, _) => scheme.is_tls(),
            Self::Url(_) => true,
        }
    }
}

/// The scheme of a `SCHEME://TARGET`, in any case of letters as nginx has it, and the target. `None` when it does not
/// begin with one of the schemes.
pub(crate) fn split_scheme(text: &[u8]) -> Option<(Scheme, &[u8])> {
    Scheme::ALL.into_iter().find_map(|scheme| {
        let (name, rest) = text.split_at_checked(scheme.name().len())?;
        let target = rest.strip_prefix(b"://")?;
        name.eq_ignore_ascii_case(scheme.name().as_bytes()).then_some((scheme, target))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_found_in_any_case() {
        assert_eq!(split_scheme(b"fastcgi://a:1"), Some((Scheme::FastCgi, &b"a:1"[..])));
        assert_eq!(split_scheme(b"FastCGI://unix:/s"), Some((Scheme::FastCgi, &b"unix:/s"[..])));
        assert_eq!(split_scheme(b"suwsgi://"), Some((Scheme::Suwsgi, &b""[..])));
        for text in ["", "uwsgi", "uwsgi:/", "uwsgi:a:1", "http://a", "xscgi://a", "://a"] {
            assert_eq!(split_scheme(text.as_bytes()), None, "{text}");
        }
    }
}
