// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the conditions of a request make of a response that has not begun: RFC 9110 section 13.2.2, without ranges.

use super::{Number, Table, snapshot::Snapshot};

const NOT_MODIFIED: u16 = 304;
const PRECONDITION_FAILED: u16 = 412;

/// The status of a response whose conditions are not met.
pub(super) fn unmet(snapshot: &mut Snapshot) -> Option<u16> {
    let status = snapshot.number(Number::Status);
    // As httpd: an error is not answered from a copy.
    if !(200..300).contains(&status) {
        return None;
    }
    let is_safe = matches!(snapshot.text(super::Fact::Method), Some(b"GET" | b"HEAD"));
    let asked = |name: &[u8]| snapshot.entry(Table::HeadersIn, name);
    let etag = snapshot.entry(Table::HeadersOut, b"etag");
    let modified = snapshot.entry(Table::HeadersOut, b"last-modified").and_then(seconds).or_else(|| {
        let known = snapshot.number(Number::Mtime) / 1_000_000;
        (known > 0).then_some(known)
    });
    if let Some(wanted) = asked(b"if-match") {
        if !matches(wanted, etag, true) {
            return Some(PRECONDITION_FAILED);
        }
    } else if let Some((limit, modified)) = asked(b"if-unmodified-since").and_then(seconds).zip(modified)
        && modified > limit
    {
        return Some(PRECONDITION_FAILED);
    }
    if let Some(known) = asked(b"if-none-match") {
        let failed = matches(known, etag, false);
        return failed.then_some(if is_safe { NOT_MODIFIED } else { PRECONDITION_FAILED });
    }
    let (known, modified) = asked(b"if-modified-since").and_then(seconds).zip(modified)?;
    (is_safe && modified <= known && snapshot.number(Number::NoLocalCopy) == 0).then_some(NOT_MODIFIED)
}

/// Whether a list of entity tags has this one. `*` is any. Strongly: weak ones are like none.
fn matches(list: &[u8], etag: Option<&[u8]>, strongly: bool) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").map_or_else(|| tag.to_vec(), <[u8]>::to_vec);
    let is_weak = |tag: &[u8]| tag.starts_with(b"W/");
    let Some(etag) = etag.filter(|etag| !(strongly && is_weak(etag))) else { return false };
    tags(list).any(|tag| !(strongly && is_weak(tag)) && opaque(tag) == opaque(etag))
}

/// The entity tags of a list: a comma may stand in one.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let begin = rest.iter().position(|byte| !b" \t,".contains(byte))?;
        rest = rest.get(begin..)?;
        let quote = rest.iter().position(|byte| *byte == b'"')?;
        let end = quote + 1 + rest.get(quote + 1..)?.iter().position(|byte| *byte == b'"')? + 1;
        let tag = rest.get(..end)?;
        rest = rest.get(end..)?;
        Some(tag)
    })
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The seconds since 1970 of a date as every sender must write it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds(date: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(date).ok()?.trim();
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let day: i64 = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = i64::try_from(MONTHS.iter().position(|known| *known == month)?).ok()? + 1;
    let year: i64 = parts.next()?.parse().ok()?;
    let mut clock = parts.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let is_date = (1..=31).contains(&day) && (1970..10_000).contains(&year);
    let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    if !is_date || !is_time || parts.next() != Some("GMT") {
        return None;
    }
    // Days since 1970, with years that begin in March: the day of the leap year is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phases::Fact;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn answer(method: &str, asked: &[(&str, &str)], told: &[(&str, &str)]) -> Option<u16> {
        let mut snapshot = Snapshot::default();
        snapshot.tell_text(Fact::Method, method.as_bytes());
        snapshot.tell_number(Number::Status, 200);
        for (table, entries) in [(Table::HeadersIn, asked), (Table::HeadersOut, told)] {
            for (name, value) in entries {
                snapshot.tell_entry(table, name.as_bytes(), value.as_bytes());
            }
        }
        unmet(&mut snapshot)
    }

    #[test]
    fn dates_are_seconds() {
        assert_eq!(seconds(DATE.as_bytes()), Some(784_111_777));
        assert_eq!(seconds(b"Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds(b"Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        for wrong in ["", "yesterday", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 25:49:37 GMT", "Sun, 6"]
        {
            assert_eq!(seconds(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_copy_that_is_as_good_is_not_sent_again() {
        let etag = ("ETag", "\"a,b\"");
        for (asked, told, status) in [
            (("If-None-Match", "\"x\", \"a,b\""), etag, Some(304)),
            (("If-None-Match", "W/\"a,b\""), etag, Some(304)),
            (("If-None-Match", "\"a\""), etag, None),
            (("If-None-Match", "*"), etag, Some(304)),
            (("If-Match", "\"a,b\""), etag, None),
            (("If-Match", "W/\"a,b\""), etag, Some(412)),
            (("If-Match", "\"x\""), etag, Some(412)),
            (("If-Modified-Since", DATE), ("Last-Modified", DATE), Some(304)),
            (("If-Modified-Since", DATE), ("Last-Modified", "Sun, 06 Nov 1994 08:49:38 GMT"), None),
            (("If-Unmodified-Since", DATE), ("Last-Modified", "Sun, 06 Nov 1994 08:49:38 GMT"), Some(412)),
            (("If-Modified-Since", "never"), ("Last-Modified", DATE), None),
        ] {
            assert_eq!(answer("GET", &[asked], &[told]), status, "{asked:?} {told:?}");
        }
        assert_eq!(answer("PUT", &[("If-None-Match", "*")], &[etag]), Some(412));
        assert_eq!(answer("POST", &[("If-Modified-Since", DATE)], &[("Last-Modified", DATE)]), None);
        let both = [("If-None-Match", "\"x\""), ("If-Modified-Since", DATE)];
        assert_eq!(answer("GET", &both, &[etag, ("Last-Modified", DATE)]), None, "the tag counts");
    }
}
