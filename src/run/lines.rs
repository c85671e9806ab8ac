// SPDX-License-Identifier: MIT OR Apache-2.0
//! A script's standard error, as lines of a log.

/// The longest line: with the script's name and the request it stays below nginx's 2 KiB.
const LONGEST: usize = 1200;

/// Takes bytes and gives lines. Holds one line at most.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes; each whole line goes to `write`, without its end. Longer ones are cut into several; empty ones are
    /// left out.
    pub fn take(&mut self, mut bytes: &[u8], mut write: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = LONGEST - self.partial.len().min(LONGEST);
            let window = bytes.get(..room.min(bytes.len())).unwrap_or_default();
            match window.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.partial.extend_from_slice(window.get(..end).unwrap_or_default());
                    bytes = bytes.get(end + 1..).unwrap_or_default();
                    self.finish(&mut write);
                }
                None => {
                    self.partial.extend_from_slice(window);
                    bytes = bytes.get(window.len()..).unwrap_or_default();
                    if self.partial.len() >= LONGEST {
                        self.finish(&mut write);
                    }
                }
            }
        }
    }

    /// Gives what has no end, when there is no more.
    pub fn finish(&mut self, mut write: impl FnMut(&[u8])) {
        let line = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        if !line.is_empty() {
            write(line);
        }
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for part in parts {
            lines.take(part, |line| found.push(line.to_vec()));
        }
        lines.finish(|line| found.push(line.to_vec()));
        found
    }

    #[test]
    fn lines_do_not_depend_on_how_bytes_come() {
        let text = b"first\r\nsecond\n\n\nthird without end";
        let whole = run(&[text]);
        assert_eq!(whole, [&b"first"[..], b"second", b"third without end"]);
        for cut in 0..text.len() {
            let (a, b) = text.split_at(cut);
            assert_eq!(run(&[a, b]), whole, "cut at {cut}");
        }
        assert_eq!(run(&text.chunks(1).collect::<Vec<_>>()), whole);
    }

    #[test]
    fn endless_lines_are_cut() {
        let long = vec![b'x'; LONGEST * 2 + 5];
        let lengths: Vec<_> = run(&[&long]).iter().map(Vec::len).collect();
        assert_eq!(lengths, [LONGEST, LONGEST, 5]);
    }
}
