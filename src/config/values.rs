// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values of options.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// A whole number within bounds.
pub(super) fn count(text: &str, least: u32, most: u32) -> Result<u32, String> {
    text.parse::<u32>()
        .ok()
        .filter(|number| text.bytes().all(|byte| byte.is_ascii_digit()) && (least..=most).contains(number))
        .ok_or_else(|| format!("it must be a whole number from {least} to {most}"))
}

/// A time, or `None` for `off`.
pub(super) fn time(text: &str) -> Result<Option<Duration>, String> {
    const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
    let wrong = || "it must be a time such as 500ms, 30s, 2m or 1h, at most 30 days, or off".to_owned();
    if text == "off" {
        return Ok(None);
    }
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    let time = milliseconds.map(Duration::from_millis).ok_or_else(wrong)?;
    if time.is_zero() {
        return Err("a timeout of 0 would refuse every request; use off for none".into());
    }
    if time > LONGEST { Err(wrong()) } else { Ok(Some(time)) }
}

/// An existing file system object of the right kind, as an absolute path.
pub(super) fn existing(text: &str, base: &Path, directory: bool) -> Result<PathBuf, String> {
    let kind = if directory { "directory" } else { "file" };
    if text.is_empty() {
        return Err(format!("it must be the path of a {kind}"));
    }
    let path = base.join(text);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() == directory => Ok(path),
        Ok(_) => Err(format!("\"{}\" is not a {kind}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("there is no such {kind} \"{}\"; create it or correct the path", path.display()))
        }
        Err(error) => Err(format!(
            "the {kind} \"{}\" cannot be used ({error}); correct the path or its permissions",
            path.display()
        )),
    }
}

/// Bytes, with the units that both servers use.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit {
        "" => Some(1),
        "k" | "K" => Some(1 << 10),
        "m" | "M" => Some(1 << 20),
        "g" | "G" => Some(1 << 30),
        _ => None,
    };
    let number =
        digits.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    number
        .filter(|bytes| *bytes > 0 && i64::try_from(*bytes).is_ok())
        .ok_or_else(|| "it must be a size such as 512k, 64m or 2g".into())
}

/// `NAME=VALUE` for the environment.
pub(super) fn assignment(text: &str) -> Result<(), String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() && !text.contains('\0') => Ok(()),
        _ => Err("it must be NAME=VALUE, for example env=DJANGO_SETTINGS_MODULE=blog.settings".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(time("500ms"), Ok(Some(Duration::from_millis(500))));
        assert_eq!(time("30"), Ok(Some(Duration::from_secs(30))));
        assert_eq!(time("2m"), Ok(Some(Duration::from_secs(120))));
        assert_eq!(time("1h"), Ok(Some(Duration::from_secs(3600))));
        assert_eq!(time("off"), Ok(None));
        for bad in ["", "s", "-1", "1.5s", "1d", "99999999999999999999", "721h", "0", "1 s"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_are_whole_and_bounded() {
        assert_eq!(count("8", 1, 10), Ok(8));
        for bad in ["0", "11", "-1", "+8", "8.0", "", "8x", "4294967297"] {
            assert!(count(bad, 1, 10).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_must_exist_and_be_of_the_kind() {
        let base = std::env::temp_dir();
        assert_eq!(existing("/", &base, true), Ok(PathBuf::from("/")));
        assert_eq!(existing(".", &base, true), Ok(base.join(".")));
        assert!(existing("/", &base, false).is_err());
        assert!(
            existing("no-such-thing", &base, true).unwrap_err().contains("create it or correct the path")
        );
        assert!(existing("", &base, true).is_err());
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!((size("1000"), size("64k"), size("2G")), (Ok(1000), Ok(65_536), Ok(2 << 30)));
        for bad in ["", "k", "-1", "1.5m", "1t", "0", "99999999999g", "9223372036854775808"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn assignments_have_a_name() {
        assert!(assignment("A=").is_ok() && assignment("A=b=c").is_ok());
        assert!(assignment("A").is_err() && assignment("=b").is_err());
    }
}
