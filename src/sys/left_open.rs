// SPDX-License-Identifier: MIT OR Apache-2.0
//! Descriptors that stay open when the code that has opened them is unloaded, until what is loaded next finds them by their
//! numbers.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
};

use rustix::fs::{MemfdFlags, fstat, memfd_create};

/// A descriptor that nobody holds: its number, and what tells whether that is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOpen {
    /// Number, device and inode.
    numbers: [u64; 3],
}

impl LeftOpen {
    /// Leaves a copy of a descriptor open.
    ///
    /// # Errors
    /// What fcntl(2) and fstat(2) say.
    pub fn leave(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let copy = descriptor.try_clone_to_owned()?;
        let found = fstat(&copy)?;
        let number = copy.into_raw_fd();
        Ok(Self { numbers: [u64::from(number.cast_unsigned()), found.st_dev, found.st_ino] })
    }

    /// Leaves bytes open, in memory that is a file.
    ///
    /// # Errors
    /// What memfd_create(2) and write(2) say.
    pub fn leave_bytes(bytes: &[u8]) -> io::Result<Self> {
        let mut file = File::from(memfd_create(c"gangway-state", MemfdFlags::CLOEXEC)?);
        file.write_all(bytes)?;
        Self::leave(file.as_fd())
    }

    /// Takes the descriptor. What has another number by now, or was closed, is not found.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn take(self) -> io::Result<OwnedFd> {
        let [number, device, inode] = self.numbers;
        let number = RawFd::try_from(number).map_err(|_| io::ErrorKind::NotFound)?;
        if number < 3 {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: only asked about, for the length of the call: a number that nobody has open is an error.
        let found = fstat(unsafe { BorrowedFd::borrow_raw(number) }).map_err(|_| io::ErrorKind::NotFound)?;
        if (found.st_dev, found.st_ino) != (device, inode) {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: `leave` has given the number up, and it still stands for the file of then, which no other code has open: it is a
        // socket or memory without a name.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    }

    /// Takes what [`LeftOpen::leave_bytes`] has left.
    ///
    /// # Errors
    /// As [`LeftOpen::take`]; what read(2) says.
    pub fn take_bytes(self) -> io::Result<Vec<u8>> {
        let mut file = File::from(self.take()?);
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// As plain numbers, which another version of this program understands.
    #[must_use]
    pub fn to_numbers(self) -> [u64; 3] {
        self.numbers
    }

    /// From such numbers.
    #[must_use]
    pub fn from_numbers(numbers: [u64; 3]) -> Self {
        Self { numbers }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn what_was_left_is_found_once() {
        let left = LeftOpen::leave_bytes(b"something").unwrap();
        let again = LeftOpen::from_numbers(left.to_numbers());
        assert_eq!(again.take_bytes().unwrap(), b"something");
        assert_eq!(left.take().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn another_file_of_the_same_number_is_not_taken() {
        let (reader, _writer) = io::pipe().unwrap();
        let left = LeftOpen::leave(reader.as_fd()).unwrap();
        let [_, device, inode] = left.to_numbers();
        let own = File::open("/dev/null").unwrap();
        let number = u64::from(own.as_raw_fd().cast_unsigned());
        let wrong = LeftOpen::from_numbers([number, device, inode]);
        assert_eq!(wrong.take().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(own.metadata().is_ok());
        drop(left.take().unwrap());
    }
}
