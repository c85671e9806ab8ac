// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the words of directives mean.

use gangway::log::Level;

use crate::scheme::Kind;

/// `On` or `Off`.
pub(crate) fn switch(word: &[u8]) -> Result<bool, String> {
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(format!("is \"{}\"; it must be On or Off", shown(word))),
    }
}

/// Bytes: a number with `k` or `m`.
pub(crate) fn size(word: &[u8], least: usize, most: usize) -> Result<usize, String> {
    let wrong =
        || format!("is \"{}\"; it must be a size such as 64k, from {least} to {most} bytes", shown(word));
    let (digits, factor) = match word {
        [digits @ .., b'k' | b'K'] => (digits, 1024),
        [digits @ .., b'm' | b'M'] => (digits, 1024 * 1024),
        digits => (digits, 1),
    };
    let number = number(digits).and_then(|number| usize::try_from(number).ok()).ok_or_else(wrong)?;
    number.checked_mul(factor).filter(|size| (least..=most).contains(size)).ok_or_else(wrong)
}

/// Milliseconds: a number with `ms` or `s`.
pub(crate) fn milliseconds(word: &[u8], most: u32) -> Result<u32, String> {
    let wrong = || format!("is \"{}\"; it must be a time such as 5ms or 1s, at most {most}ms", shown(word));
    let (digits, factor) = match word {
        [digits @ .., b'm', b's'] => (digits, 1),
        [digits @ .., b's'] => (digits, 1000),
        b"0" => (word, 1),
        _ => return Err(wrong()),
    };
    let time = number(digits).and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)?;
    u32::try_from(time).ok().filter(|time| *time <= most).ok_or_else(wrong)
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

/// The level of a log line.
pub(crate) fn level(word: &[u8]) -> Result<Level, String> {
    match word.to_ascii_lowercase().as_slice() {
        b"error" => Ok(Level::Error),
        b"warn" => Ok(Level::Warn),
        b"notice" => Ok(Level::Notice),
        b"info" => Ok(Level::Info),
        b"debug" => Ok(Level::Debug),
        _ => Err(format!("is \"{}\"; it must be error, warn, notice, info or debug", shown(word))),
    }
}

/// A suffix of script names, without its dot.
pub(crate) fn suffix(word: &[u8]) -> Result<&[u8], String> {
    let suffix = word.strip_prefix(b".").unwrap_or(word);
    if suffix.is_empty() || suffix.contains(&b'/') {
        return Err(format!("has the suffix \"{}\"; it must be a word such as php", shown(word)));
    }
    Ok(suffix)
}

/// The address of `GangwayPass`, as mod_proxy spells it: `gangway+fcgi://host:port` or
/// `unix:/path|gangway+fcgi://localhost`.
pub(crate) fn address(word: &[u8]) -> Result<(Vec<u8>, Kind), String> {
    let wrong = |why: &str| {
        let shown = shown(word);
        Err(format!(
            "is \"{shown}\"{why}; it must be fastcgi://, scgi:// or uwsgi:// with host:port or unix:/path"
        ))
    };
    let Some(colon) = word.windows(3).position(|part| part == b"://") else { return wrong("") };
    let (scheme, place) = (word.get(..colon).unwrap_or_default(), word.get(colon + 3..).unwrap_or_default());
    let (scheme, kind): (&[u8], _) = match scheme.to_ascii_lowercase().as_slice() {
        b"fastcgi" | b"fcgi" => (b"gangway+fcgi", Kind::FastCgi),
        b"scgi" => (b"gangway+scgi", Kind::Scgi),
        b"uwsgi" => (b"gangway+uwsgi", Kind::Uwsgi),
        _ => return wrong(", whose scheme is not known"),
    };
    if let Some(path) = place.strip_prefix(b"unix:") {
        if !path.starts_with(b"/") || path.contains(&b'|') {
            return wrong(", whose path is not absolute");
        }
        return Ok(([b"unix:", path, b"|", scheme, b"://localhost"].concat(), kind));
    }
    let place = place.strip_suffix(b"/").unwrap_or(place);
    let port = place.iter().rposition(|byte| *byte == b':').and_then(|at| place.get(at + 1..));
    match port.and_then(number) {
        _ if place.contains(&b'/') => wrong(", which has a path"),
        _ if !place.iter().all(is_of_address) => wrong(", which is no address"),
        Some(1..=65535) => Ok(([scheme, b"://", place].concat(), kind)),
        _ => wrong(", which has no port"),
    }
}

/// What names and numbers of hosts are made of, with a port: nothing that has another meaning in a URL.
fn is_of_address(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:[]%".contains(byte)
}

fn shown(word: &[u8]) -> String {
    gangway::log::escape(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_units_and_bounds() {
        assert_eq!(size(b"64k", 1024, 1 << 20), Ok(65536));
        assert_eq!(size(b"1M", 1024, 1 << 20), Ok(1 << 20));
        for bad in ["", "k", "1", "2m", "-1", "1.5k", "99999999999999999999k"] {
            assert!(size(bad.as_bytes(), 1024, 1 << 20).is_err(), "{bad}");
        }
        assert_eq!(milliseconds(b"5ms", 1000), Ok(5));
        assert_eq!(milliseconds(b"1s", 1000), Ok(1000));
        assert_eq!(milliseconds(b"0", 1000), Ok(0));
        for bad in ["", "5", "ms", "2s", "-1ms", "18446744073709551615s"] {
            assert!(milliseconds(bad.as_bytes(), 1000).is_err(), "{bad}");
        }
    }

    #[test]
    fn switches_levels_and_suffixes() {
        assert_eq!((switch(b"On"), switch(b"OFF")), (Ok(true), Ok(false)));
        assert!(switch(b"yes").unwrap_err().contains("On or Off"));
        assert_eq!(level(b"Warn"), Ok(Level::Warn));
        assert!(level(b"crit").is_err());
        assert_eq!(suffix(b".php"), Ok(&b"php"[..]));
        assert!(suffix(b".").is_err() && suffix(b"a/b").is_err());
    }

    #[test]
    fn addresses_become_those_of_mod_proxy() {
        for (word, url) in [
            ("fastcgi://127.0.0.1:9000", "gangway+fcgi://127.0.0.1:9000"),
            ("fcgi://[::1]:9000/", "gangway+fcgi://[::1]:9000"),
            ("scgi://app:4000", "gangway+scgi://app:4000"),
            ("UWSGI://unix:/run/a.sock", "unix:/run/a.sock|gangway+uwsgi://localhost"),
            ("fastcgi://unix:/run/php.sock", "unix:/run/php.sock|gangway+fcgi://localhost"),
        ] {
            assert_eq!(
                address(word.as_bytes()).map(|(url, _)| String::from_utf8(url).unwrap()),
                Ok(url.to_owned())
            );
        }
        for bad in [
            "",
            "http://a:1",
            "fastcgi://host",
            "fastcgi://h:0",
            "fastcgi://h:1/p",
            "scgi://unix:run",
            "scgi://u@h:1",
            "scgi://h?:1",
        ] {
            assert!(address(bad.as_bytes()).unwrap_err().contains("must be fastcgi://"), "{bad}");
        }
    }
}
