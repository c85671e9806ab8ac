// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request body that the server has already read, in memory and in temporary files.

use std::{collections::VecDeque, fs::File, io, os::unix::fs::FileExt};

/// One part of a body.
#[derive(Debug)]
pub enum BodyPart {
    /// Bytes.
    Memory(Vec<u8>),
    /// A part of a file.
    File {
        /// The file, a descriptor of our own.
        file: File,
        /// Where the part begins.
        offset: u64,
        /// Its length.
        len: u64,
    },
}

/// The parts in order, read once from front to back.
#[derive(Debug, Default)]
pub struct Body {
    parts: VecDeque<BodyPart>,
    /// Consumed bytes of the first part.
    used: usize,
}

impl Body {
    /// A body of these parts.
    #[must_use]
    pub fn new(parts: impl IntoIterator<Item = BodyPart>) -> Self {
        Self { parts: parts.into_iter().collect(), used: 0 }
    }

    /// Whether all of it has been read, and found to be the end.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Copies bytes; 0 is the end, or an empty `out`.
    ///
    /// # Errors
    /// What the file system says; a file that is shorter than its part is [`io::ErrorKind::UnexpectedEof`].
    pub fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(part) = self.parts.front_mut() else { return Ok(0) };
            let read = match part {
                BodyPart::Memory(bytes) => {
                    let rest = bytes.get(self.used..).unwrap_or_default();
                    let count = rest.len().min(out.len());
                    if let (Some(to), Some(from)) = (out.get_mut(..count), rest.get(..count)) {
                        to.copy_from_slice(from);
                    }
                    self.used += count;
                    count
                }
                BodyPart::File { file, offset, len } => read_file(file, offset, len, out)?,
            };
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            self.parts.pop_front();
            self.used = 0;
        }
    }
}

fn read_file(file: &File, offset: &mut u64, len: &mut u64, out: &mut [u8]) -> io::Result<usize> {
    let most = usize::try_from(*len).unwrap_or(usize::MAX).min(out.len());
    let Some(out) = out.get_mut(..most) else { return Ok(0) };
    if out.is_empty() {
        return Ok(0);
    }
    let read = file.read_at(out, *offset)?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    *offset += read as u64;
    *len -= read as u64;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    fn sample() -> Body {
        let mut file = tempfile();
        file.write_all(b"--from file--").unwrap();
        Body::new([
            BodyPart::Memory(b"memory ".to_vec()),
            BodyPart::Memory(Vec::new()),
            BodyPart::File { file, offset: 2, len: 9 },
            BodyPart::Memory(b"!".to_vec()),
        ])
    }

    fn tempfile() -> File {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("gangway-body-{}-{count}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    #[test]
    fn parts_are_read_in_order_at_every_chunk_size() {
        for size in 1..20 {
            let (mut body, mut all, mut chunk) = (sample(), Vec::new(), vec![0; size]);
            loop {
                let count = body.read(&mut chunk).unwrap();
                if count == 0 {
                    break;
                }
                all.extend_from_slice(&chunk[..count]);
            }
            assert_eq!(all, b"memory from file!", "chunks of {size}");
            assert_eq!(body.read(&mut chunk).unwrap(), 0, "the end stays");
        }
    }

    #[test]
    fn a_file_that_shrank_is_an_error() {
        let mut body = Body::new([BodyPart::File { file: tempfile(), offset: 0, len: 1 }]);
        assert_eq!(body.read(&mut [0; 4]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
