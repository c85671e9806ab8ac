// SPDX-License-Identifier: MIT OR Apache-2.0
//! Streams between processes of this machine: a descriptor beside their bytes, and room for many. unix(7), SCM_RIGHTS.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    io::retry_on_intr,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg, sockopt::set_socket_send_buffer_size,
    },
};

/// Lets so many bytes be on their way on a connection, or as many as the system allows.
pub fn enlarge(socket: BorrowedFd<'_>, bytes: usize) {
    // What it is goes on as it was.
    let _ = set_socket_send_buffer_size(socket, bytes);
}

/// Sends bytes, and a descriptor with the first of them. Never waits.
///
/// # Errors
/// What sendmsg(2) says.
pub fn send_with(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(retry_on_intr(|| sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags))?)
}

/// Receives bytes, and the descriptor that came with them. Others than one are closed. Never waits.
///
/// # Errors
/// What recvmsg(2) says.
pub fn receive_with(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags))?;
    let mut found = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            found = descriptors.last();
        }
    }
    Ok((received.bytes, found))
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::{
        io::{Read, Write},
        os::{fd::AsFd, unix::net::UnixStream},
    };

    use super::*;

    #[test]
    fn a_descriptor_comes_with_its_bytes_and_none_comes_with_others() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        assert_eq!(send_with(here.as_fd(), b"first", writer.as_fd()).unwrap(), 5);
        here.write_all(b"second").unwrap();
        drop(writer);
        let mut buffer = [0; 64];
        let (count, descriptor) = receive_with(there.as_fd(), &mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"first");
        std::fs::File::from(descriptor.unwrap()).write_all(b"through").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        let (count, descriptor) = receive_with(there.as_fd(), &mut buffer).unwrap();
        assert!(&buffer[..count] == b"second" && descriptor.is_none());
        assert_eq!(receive_with(there.as_fd(), &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(here);
        assert!(matches!(receive_with(there.as_fd(), &mut buffer), Ok((0, None))));
    }
}
