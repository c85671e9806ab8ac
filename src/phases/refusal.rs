// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a refusal says besides its status, and the numbers that mod_python gives to methods.

use super::{Change, Number, PhaseAnswer, Snapshot, Table};

/// mod_python's numbers of methods.
const METHODS: [(&[u8], i64); 16] = [
    (b"GET", 0),
    (b"HEAD", 0),
    (b"PUT", 1),
    (b"POST", 2),
    (b"DELETE", 3),
    (b"CONNECT", 4),
    (b"OPTIONS", 5),
    (b"TRACE", 6),
    (b"PATCH", 7),
    (b"PROPFIND", 8),
    (b"PROPPATCH", 9),
    (b"MKCOL", 10),
    (b"COPY", 11),
    (b"MOVE", 12),
    (b"LOCK", 13),
    (b"UNLOCK", 14),
];
const INVALID_METHOD: i64 = 26;

/// The number of a method.
#[must_use]
pub fn method_number(name: &[u8]) -> i64 {
    METHODS.iter().find(|(known, _)| *known == name).map_or(INVALID_METHOD, |(_, number)| *number)
}

/// Adds headers that a refusal has by its status, where handlers have not said them. `realm`: what a client is asked to authenticate for.
pub fn complete_refusal(verdict: Option<PhaseAnswer>, realm: Option<&[u8]>, snapshot: &mut Snapshot) {
    match verdict {
        Some(PhaseAnswer::Status(401)) => ask_for_credentials(realm, snapshot),
        Some(PhaseAnswer::Status(405)) => tell_methods(snapshot),
        _ => {}
    }
}

/// A 405 says what is allowed: RFC 9110 section 15.5.6.
fn tell_methods(snapshot: &mut Snapshot) {
    let (name, bits) = (&b"Allow"[..], snapshot.number(Number::Allowed));
    if bits == 0 || snapshot.entry(Table::ErrHeadersOut, name).is_some() {
        return;
    }
    let allowed = METHODS.iter().filter(|(_, number)| bits & 1 << number != 0);
    let names: Vec<_> = allowed.map(|(name, _)| *name).collect();
    snapshot.change(Table::ErrHeadersOut, Change::Set(name, &names.join(&b", "[..])));
}

/// A 401 says how to authenticate: RFC 9110 section 11.6.1. A handler that has not said it leaves it to `realm=`.
fn ask_for_credentials(realm: Option<&[u8]>, snapshot: &mut Snapshot) {
    let name = b"WWW-Authenticate";
    let is_there = [Table::HeadersOut, Table::ErrHeadersOut]
        .into_iter()
        .find_map(|table| snapshot.entry(table, name).map(<[u8]>::to_vec));
    // Where a page of the server's goes out it needs to be among those that leave with errors.
    let value = is_there.or_else(|| realm.map(|realm| [b"Basic realm=\"", realm, b"\""].concat()));
    if let Some(value) = value {
        snapshot.change(Table::ErrHeadersOut, Change::Set(name, &value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_its_status_asks_for() {
        let completed = |status, realm: Option<&[u8]>, snapshot: &mut Snapshot| {
            complete_refusal(Some(PhaseAnswer::Status(status)), realm, snapshot);
        };
        let mut snapshot = Snapshot::default();
        completed(401, None, &mut snapshot);
        assert_eq!(snapshot.entry(Table::ErrHeadersOut, b"www-authenticate"), None);
        completed(401, Some(b"here"), &mut snapshot);
        let asked = |snapshot: &Snapshot| {
            snapshot.entry(Table::ErrHeadersOut, b"www-authenticate").map(<[u8]>::to_vec)
        };
        assert_eq!(asked(&snapshot).as_deref(), Some(&b"Basic realm=\"here\""[..]));
        let mut said = Snapshot::default();
        said.change(Table::HeadersOut, Change::Set(b"WWW-Authenticate", b"Digest x"));
        completed(401, Some(b"here"), &mut said);
        assert_eq!(asked(&said).as_deref(), Some(&b"Digest x"[..]));
        assert!(said.set_number(Number::Allowed, 1 << 0 | 1 << 2));
        completed(405, None, &mut said);
        assert_eq!(said.entry(Table::ErrHeadersOut, b"allow"), Some(&b"GET, HEAD, POST"[..]));
    }

    #[test]
    fn methods_have_their_numbers() {
        let numbers = [&b"GET"[..], b"POST", b"UNLOCK", b"get", b"BREW"].map(method_number);
        assert_eq!(numbers, [0, 2, 14, 26, 26]);
    }
}
