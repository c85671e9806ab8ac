// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which backend a connection leads to.

use std::ptr;

use nginx_sys::ngx_peer_connection_t;

/// A backend's address, and ours that was bound for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    hash: usize,
    local: usize,
    len: usize,
    bytes: [u8; size_of::<libc::sockaddr_un>()],
}

impl Address {
    pub(super) fn of(pc: &ngx_peer_connection_t) -> Self {
        let mut bytes = [0; size_of::<libc::sockaddr_un>()];
        let len = (pc.socklen as usize).min(bytes.len());
        // SAFETY: nginx's address of a chosen peer has `socklen` bytes.
        unsafe { ptr::copy_nonoverlapping(pc.sockaddr.cast::<u8>(), bytes.as_mut_ptr(), len) };
        // FNV-1a by words: unused bytes are zero.
        let hash = bytes.chunks(8).fold(0xcbf2_9ce4_8422_2325_u64, |hash, word| {
            let word = word.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
            (hash ^ word).wrapping_mul(0x100_0000_01b3)
        });
        Self { bytes, len, local: pc.local.addr(), hash: (hash ^ hash >> 32) as usize }
    }

    pub(super) fn is_unix(&self) -> bool {
        let [a, b, ..] = self.bytes;
        i32::from(libc::sa_family_t::from_ne_bytes([a, b])) == libc::AF_UNIX
    }

    /// Of the backend's address alone.
    pub(super) fn hash(&self) -> usize {
        self.hash
    }
}
