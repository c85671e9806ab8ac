// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a backend writes to its standard error (FCGI_STDERR), as lines.

/// The longest line that is kept together.
const LONGEST: usize = 2048;

/// Joins lines that come in parts.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Takes a part, and gives whole lines to `write`.
    pub(super) fn feed(&mut self, part: &[u8], mut write: impl FnMut(&[u8])) {
        let mut lines = part.split(|byte| *byte == b'\n');
        // What follows the last line end is not whole yet.
        let rest = lines.next_back().unwrap_or_default();
        for line in lines {
            self.0.extend_from_slice(line);
            self.flush(&mut write);
        }
        self.0.extend_from_slice(rest);
        if self.0.len() > LONGEST {
            self.flush(&mut write);
        }
    }

    /// Gives what has no line end.
    pub(super) fn flush(&mut self, mut write: impl FnMut(&[u8])) {
        for line in self.0.chunks(LONGEST) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                write(line);
            }
        }
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[&str]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut write = |line: &[u8]| found.push(String::from_utf8_lossy(line).into_owned());
        for part in parts {
            lines.feed(part.as_bytes(), &mut write);
        }
        lines.flush(&mut write);
        found
    }

    #[test]
    fn lines_are_joined_and_split() {
        assert_eq!(lines(&["a", "b\r\nc\n", "\n", "d"]), ["ab", "c", "d"]);
        assert_eq!(lines(&[]), [""; 0]);
        assert_eq!(lines(&["\n\n"]), [""; 0]);
    }

    #[test]
    fn endless_lines_are_cut() {
        let found = lines(&["x".repeat(3 * LONGEST).as_str(), "\nend"]);
        assert_eq!(found.iter().map(String::len).collect::<Vec<_>>(), [LONGEST, LONGEST, LONGEST, 3]);
    }
}
