// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sockets of clients by their numbers, which belong to the server: whoever calls this knows that it has not closed them.

use std::{io, os::fd::RawFd};

/// Sends what the kernel takes at once; answers how many bytes, 0 at the moment none.
///
/// # Errors
/// The connection has failed.
pub fn send_now(socket: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: send(2) reads so many bytes at most of the slice.
    let sent = now(|| unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) })?;
    Ok(sent.unwrap_or(0))
}

/// Receives what is there. 0 is the end; `None`: there is nothing yet.
///
/// # Errors
/// The connection has failed.
pub fn receive_now(socket: RawFd, into: &mut [u8]) -> io::Result<Option<usize>> {
    // SAFETY: recv(2) writes so many bytes at most into the slice.
    now(|| unsafe { libc::recv(socket, into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT) })
}

fn now(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<Option<usize>> {
    loop {
        if let Ok(count) = usize::try_from(call()) {
            return Ok(Some(count));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => return Ok(None),
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::{fd::AsRawFd, unix::net::UnixStream},
    };

    use super::*;

    #[test]
    fn nothing_of_it_waits() {
        let (server, mut client) = UnixStream::pair().expect("a pair");
        let (socket, mut room) = (server.as_raw_fd(), [0; 8]);
        assert_eq!(receive_now(socket, &mut room).expect("it is open"), None);
        client.write_all(b"hello").expect("sent");
        assert_eq!(receive_now(socket, &mut room).expect("it is open"), Some(5));
        assert_eq!(send_now(socket, b"answer").expect("it is open"), 6);
        client.read_exact(&mut room[..6]).expect("received");
        assert_eq!(&room[..6], b"answer");
        let much = vec![0; 1024 * 1024];
        while send_now(socket, &much).expect("it is open") > 0 {}
        drop(client);
        assert!(send_now(socket, b"to nobody").is_err());
    }
}
