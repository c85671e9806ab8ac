// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ends of pipes that never wait.

use std::{
    fs::File,
    io::{self, Read, Write},
};

/// What reading gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// So many bytes.
    Bytes(usize),
    /// None are there yet.
    Later,
    /// Nobody can write any more.
    End,
}

/// Reads what is there, as far as there is room.
pub fn read_now(mut pipe: &File, room: &mut [u8]) -> Got {
    loop {
        return match pipe.read(room) {
            Ok(0) => Got::End,
            Ok(count) => Got::Bytes(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Got::Later,
            Err(_) => Got::End,
        };
    }
}

/// Reads at most so many times. Answers whether there may be more later.
pub fn drain(pipe: &File, times: usize, mut take: impl FnMut(&[u8])) -> bool {
    let mut buffer = [0; 8192];
    for _ in 0..times {
        match read_now(pipe, &mut buffer) {
            Got::Bytes(count) => take(buffer.get(..count).unwrap_or_default()),
            Got::Later => return true,
            Got::End => return false,
        }
    }
    true
}

/// Writes as much as there is room for. `None`: the reader wants no more.
pub fn write_now(mut pipe: &File, bytes: &[u8]) -> Option<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match pipe.write(bytes.get(done..).unwrap_or_default()) {
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => return None,
        }
    }
    Some(done)
}

#[cfg(test)]
mod tests {
    use super::{super::spawner, *};

    #[test]
    fn reading_never_waits_and_sees_the_end() {
        let (reader, writer) = spawner::pipe_from().unwrap();
        let (reader, mut writer) = (File::from(reader), File::from(writer));
        let mut room = [0; 4];
        assert_eq!(read_now(&reader, &mut room), Got::Later);
        writer.write_all(b"hello").unwrap();
        assert_eq!((read_now(&reader, &mut room), &room), (Got::Bytes(4), b"hell"));
        let mut rest = Vec::new();
        assert!(drain(&reader, 9, |bytes| rest.extend_from_slice(bytes)));
        drop(writer);
        assert!(!drain(&reader, 9, |_| panic!("nothing comes")));
        assert_eq!((rest.as_slice(), read_now(&reader, &mut room)), (&b"o"[..], Got::End));
    }

    #[test]
    fn writing_never_waits_and_sees_that_nobody_reads() {
        let (reader, writer) = spawner::pipe_to().unwrap();
        let writer = File::from(writer);
        let large = vec![0; 1024 * 1024];
        let written = write_now(&writer, &large).unwrap();
        assert!(0 < written && written < large.len(), "{written}");
        assert_eq!(write_now(&writer, b"x"), Some(0));
        drop(reader);
        assert_eq!(write_now(&writer, b"x"), None);
    }
}
