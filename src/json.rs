// SPDX-License-Identifier: MIT OR Apache-2.0
//! Texts as JSON has them.

use std::fmt::Write as _;

/// A string with its quotes (RFC 8259 §7).
#[must_use]
pub fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            char if char.is_control() => {
                // All of them stand below U+10000.
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::string;

    #[test]
    fn what_json_reserves_is_escaped() {
        for (text, json) in [
            ("", r#""""#),
            ("a/b", r#""a/b""#),
            ("a\"b\\", r#""a\"b\\""#),
            ("\0\n\u{1f}\u{7f}\u{85}", r#""\u0000\u000a\u001f\u007f\u0085""#),
            ("\u{fc}\u{1f600}", "\"\u{fc}\u{1f600}\""),
        ] {
            assert_eq!(string(text), json, "{text:?}");
        }
    }
}
