// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which web servers may connect: FCGI_WEB_SERVER_ADDRS (FastCGI §3.2).

use std::{ffi::OsStr, net::IpAddr};

use crate::sys::Peer;

/// The addresses that connections may come from; without any, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Welcome(Option<Vec<IpAddr>>);

impl Welcome {
    /// The value of the variable, which holds addresses with commas between them.
    ///
    /// # Errors
    /// The first word that is no address.
    pub(crate) fn parse(value: Option<&OsStr>) -> Result<Self, String> {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(Self(None)) };
        let text = value.to_string_lossy();
        let parse = |word: &str| word.trim().parse().map_err(|_| word.trim().to_owned());
        text.split(',').map(parse).collect::<Result<_, _>>().map(|addresses| Self(Some(addresses)))
    }

    /// Whether somebody is named.
    pub(crate) fn names_somebody(&self) -> bool {
        self.0.is_some()
    }

    /// A process of this machine that may open the socket's file is let in: its permissions say who that is.
    pub(crate) fn lets_in(&self, peer: Peer) -> bool {
        match (&self.0, peer) {
            (None, _) | (_, Peer::Local) => true,
            (Some(addresses), Peer::At(address)) => addresses.contains(&address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_named_are_let_in() {
        let at = |text: &str| Peer::At(text.parse().unwrap());
        let some = Welcome::parse(Some(OsStr::new("199.170.183.28, 127.0.0.1,::1"))).unwrap();
        assert!(some.lets_in(at("127.0.0.1")) && some.lets_in(at("::1")) && some.lets_in(Peer::Local));
        assert!(!some.lets_in(at("127.0.0.2")) && some.names_somebody());
        for none in [None, Some(OsStr::new(""))] {
            let all = Welcome::parse(none).unwrap();
            assert!(all.lets_in(at("10.0.0.1")) && !all.names_somebody());
        }
        assert_eq!(Welcome::parse(Some(OsStr::new("127.0.0.1,localhost"))), Err("localhost".into()));
    }
}
