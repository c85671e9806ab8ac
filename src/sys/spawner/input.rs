// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pipes of a script, and a request body as its standard input, which always ends: it is nothing, a filled pipe, a
//! file, or a pipe that is written to while the body comes in.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::fs::FileExt,
    },
};

use super::{filled, memory_file, no_input, no_output, pipe_from, pipe_to, reopen};
use crate::sys::duplicate;

/// Bytes of a body that are copied at a time.
const CHUNK: usize = 64 * 1024;

/// A part of a body that is there.
#[derive(Clone, Copy, Debug)]
pub enum InputPart<'a> {
    /// Bytes.
    Memory(&'a [u8]),
    /// A part of a file that the server has open.
    File {
        /// Its descriptor, which stays the server's.
        fd: RawFd,
        /// Where the part begins.
        offset: u64,
        /// Its length.
        len: u64,
    },
}

impl InputPart<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Memory(bytes) => bytes.is_empty(),
            Self::File { len, .. } => *len == 0,
        }
    }
}

/// A server's ends of the pipes of a script.
#[derive(Debug)]
pub struct Pipes {
    /// Where its body is to be written, unless it has it already.
    pub stdin: Option<File>,
    /// Its output.
    pub stdout: File,
    /// Its standard error, if somebody wants it.
    pub stderr: Option<File>,
}

impl Pipes {
    /// Makes them, with the script's ends. `body` is all of its body, if that is there.
    ///
    /// # Errors
    /// What pipe2(2), memfd_create(2) and the like say.
    pub fn new(body: Option<&[InputPart<'_>]>, wants_stderr: bool) -> io::Result<(Self, [OwnedFd; 3])> {
        let (input, stdin) = match body {
            Some(parts) => (whole(parts)?, None),
            None => pipe_to().map(|(reader, writer)| (reader, Some(writer.into())))?,
        };
        let (stdout, output) = pipe_from()?;
        let (stderr, errors) = if wants_stderr {
            pipe_from().map(|(reader, writer)| (Some(reader.into()), writer))?
        } else {
            (None, no_output()?)
        };
        Ok((Self { stdin, stdout: stdout.into(), stderr }, [input, output, errors]))
    }
}

/// All of a body, with its end.
fn whole(parts: &[InputPart<'_>]) -> io::Result<OwnedFd> {
    let mut rest = parts.iter().filter(|part| !part.is_empty());
    match (rest.next(), rest.next()) {
        (None, _) => return no_input(),
        (Some(InputPart::File { fd, offset: 0, len }), None) if is_all_of(*fd, *len)? => return reopen(*fd),
        (Some(InputPart::Memory(bytes)), None) => {
            if let Some(filled) = filled(bytes)? {
                return Ok(filled);
            }
        }
        _ => {}
    }
    copied(parts)
}

fn is_all_of(fd: RawFd, length: u64) -> io::Result<bool> {
    Ok(File::from(duplicate(fd)?).metadata()?.len() == length)
}

/// The parts of a body in one file.
fn copied(parts: &[InputPart<'_>]) -> io::Result<OwnedFd> {
    let whole = File::from(memory_file(&[])?);
    let mut at = 0u64;
    for part in parts {
        match part {
            InputPart::Memory(bytes) => {
                whole.write_all_at(bytes, at)?;
                at += bytes.len() as u64;
            }
            InputPart::File { fd, offset, len } => {
                copy(&File::from(duplicate(*fd)?), *offset, *len, &whole, at)?;
                at += len;
            }
        }
    }
    reopen(whole.as_raw_fd())
}

fn copy(from: &File, mut offset: u64, mut len: u64, to: &File, mut at: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    while len > 0 {
        let most = usize::try_from(len).unwrap_or(CHUNK).min(CHUNK);
        let count = from.read_at(buffer.get_mut(..most).unwrap_or_default(), offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all_at(buffer.get(..count).unwrap_or_default(), at)?;
        (offset, len, at) = (offset + count as u64, len - count as u64, at + count as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn read(parts: &[InputPart<'_>]) -> Vec<u8> {
        let (pipes, [input, ..]) = Pipes::new(Some(parts), false).unwrap();
        assert!(pipes.stdin.is_none() && pipes.stderr.is_none());
        let mut all = Vec::new();
        File::from(input).read_to_end(&mut all).unwrap();
        all
    }

    #[test]
    fn a_body_of_any_parts_comes_whole_and_ends() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let part = |offset, len| InputPart::File { fd: file.as_raw_fd(), offset, len };
        let large = vec![b'x'; CHUNK * 3 + 1];
        assert_eq!(read(&[]), b"");
        assert_eq!(read(&[InputPart::Memory(b""), part(3, 0)]), b"");
        assert_eq!(read(&[InputPart::Memory(b"small")]), b"small");
        assert_eq!(read(&[part(0, 10)]), b"0123456789");
        assert_eq!(read(&[part(0, 9)]), b"012345678");
        assert_eq!(read(&[InputPart::Memory(&large)]), large);
        assert_eq!(read(&[InputPart::Memory(b"a"), part(2, 3), InputPart::Memory(b"b")]), b"a234b");
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        let parts = [InputPart::File { fd: file.as_raw_fd(), offset: 1, len: 3 }];
        assert_eq!(Pipes::new(Some(&parts), false).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
