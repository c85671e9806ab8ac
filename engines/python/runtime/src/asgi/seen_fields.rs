// SPDX-License-Identifier: MIT OR Apache-2.0
//! Header fields that many requests have, made once: a WebSocket may keep its scope for hours, and to find a pair costs less than to make one.

use std::cell::RefCell;

use pyo3::{
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyTuple},
};

/// Pairs of a thread that are found again. Each has one place, which the next one of that place takes.
const PLACES: usize = 128;
/// Longer values are rare, and are not kept.
const VALUE_MOST: usize = 256;
/// Names that are known.
const NAMES: usize = 32;

/// A name and a value that have been seen, and the pair.
struct SeenField {
    name: u8,
    value: Box<[u8]>,
    pair: Py<PyTuple>,
}

thread_local! {
    /// Only borrowed where no code of Python can run: that would come back here.
    static SEEN: RefCell<Vec<Option<SeenField>>> = const { RefCell::new(Vec::new()) };
}

/// The number of a name that many requests have, and whether its values tell of a program and not of who uses it, so that many have the same.
fn known(name: &[u8]) -> Option<(u8, bool)> {
    Some(match name {
        b"accept" => (0, true),
        b"accept-encoding" => (1, true),
        b"accept-language" => (2, true),
        b"cache-control" => (3, true),
        b"connection" => (4, true),
        b"content-type" => (5, true),
        b"dnt" => (6, true),
        b"host" => (7, true),
        b"origin" => (8, true),
        b"pragma" => (9, true),
        b"priority" => (10, true),
        b"sec-ch-ua" => (11, true),
        b"sec-ch-ua-mobile" => (12, true),
        b"sec-ch-ua-platform" => (13, true),
        b"sec-fetch-dest" => (14, true),
        b"sec-fetch-mode" => (15, true),
        b"sec-fetch-site" => (16, true),
        b"sec-websocket-extensions" => (17, true),
        b"sec-websocket-protocol" => (18, false),
        b"sec-websocket-version" => (19, true),
        b"upgrade" => (20, true),
        b"upgrade-insecure-requests" => (21, true),
        b"user-agent" => (22, true),
        b"x-forwarded-proto" => (23, true),
        b"authorization" => (24, false),
        b"content-length" => (25, false),
        b"cookie" => (26, false),
        b"if-none-match" => (27, false),
        b"referer" => (28, false),
        b"sec-websocket-key" => (29, false),
        b"x-forwarded-for" => (30, false),
        b"x-real-ip" => (31, false),
        _ => return None,
    })
}

/// A header field as a pair, which cannot be changed and may stand in several scopes.
pub(super) fn pair<'py>(py: Python<'py>, name: &[u8], value: &[u8]) -> PyResult<Bound<'py, PyTuple>> {
    let Some((number, is_shared)) = known(name) else {
        return (PyBytes::new(py, name), PyBytes::new(py, value)).into_pyobject(py);
    };
    let make = || (name_bytes(py, number, name), PyBytes::new(py, value)).into_pyobject(py);
    if !is_shared || value.len() > VALUE_MOST {
        return make();
    }
    let place = place_of(number, value);
    let seen = SEEN.with_borrow(|seen| {
        let field = seen.get(place)?.as_ref()?;
        (field.name == number && *field.value == *value).then(|| field.pair.clone_ref(py))
    });
    if let Some(pair) = seen {
        return Ok(pair.into_bound(py));
    }
    let pair = make()?;
    let fresh = SeenField { name: number, value: value.into(), pair: pair.clone().unbind() };
    let old = SEEN.with_borrow_mut(|seen| {
        if seen.is_empty() {
            seen.resize_with(PLACES, || None);
        }
        seen.get_mut(place).and_then(|field| field.replace(fresh))
    });
    drop(old);
    Ok(pair)
}

/// Of the name, the length and some bytes of the value: where two of them meet, the later one is kept.
fn place_of(number: u8, value: &[u8]) -> usize {
    let at = |index: usize| value.get(index).map_or(0, |byte| usize::from(*byte));
    let length = value.len();
    let mixed = [at(0), at(length / 4), at(length / 2), at(length / 4 * 3), at(length.saturating_sub(1))]
        .into_iter()
        .fold(usize::from(number) * 31 + length, |all, byte| all.wrapping_mul(31).wrapping_add(byte));
    mixed % PLACES
}

/// The name itself.
fn name_bytes<'py>(py: Python<'py>, number: u8, name: &[u8]) -> Bound<'py, PyBytes> {
    static MADE: [PyOnceLock<Py<PyBytes>>; NAMES] = [const { PyOnceLock::new() }; NAMES];
    match MADE.get(usize::from(number)) {
        Some(made) => made.get_or_init(py, || PyBytes::new(py, name).unbind()).bind(py).clone(),
        None => PyBytes::new(py, name),
    }
}
