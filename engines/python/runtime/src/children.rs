// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the child processes of an application inherit: 0, 1, 2 and what the application passes on itself.
//!
//! A server process holds listening sockets, its clients' connections and keys of TLS, and nginx does not mark them
//! close-on-exec. Python closes them in most of the children that it starts, but not with `close_fds=False`,
//! `os.system()` and `os.posix_spawn()`. Before each of them everything that is open is marked; requests pay nothing.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    fs,
    os::fd::RawFd,
    sync::Mutex,
};

use gangway_python_abi::fence::fence;
use pyo3::{ffi, prelude::*};

use crate::interpreter::symbol;

/// The server's sockets as they were before the first line of an application.
static SERVERS: Mutex<Vec<Socket>> = Mutex::new(Vec::new());

/// A socket by its number and its inode, which no other socket has: the server may close it, and the number is then
/// perhaps a pipe of the application's.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Socket {
    fd: RawFd,
    inode: u64,
}

impl Socket {
    fn at(fd: RawFd) -> Option<Self> {
        let mut status = std::mem::MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: fstat(2) writes one stat, and all-zero is one as well.
        let (answer, status) = unsafe { (libc::fstat(fd, status.as_mut_ptr()), status.assume_init()) };
        let is_socket = answer == 0 && status.st_mode & libc::S_IFMT == libc::S_IFSOCK;
        is_socket.then_some(Self { fd, inode: status.st_ino })
    }
}

type AuditHook = unsafe extern "C" fn(*const c_char, *mut ffi::PyObject, *mut c_void) -> c_int;

/// Watches for children. Before the interpreter starts.
pub(crate) fn watch() {
    let sockets = open_descriptors().into_iter().filter_map(Socket::at).collect();
    *SERVERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = sockets;
    let Some(add) = symbol(c"PySys_AddAuditHook") else { return };
    // SAFETY: PEP 578: the symbol has this type in every version from 3.8 on, and may be called before the start.
    unsafe {
        let add =
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn(AuditHook, *mut c_void) -> c_int>(add);
        add(on_event, std::ptr::null_mut());
    }
}

/// PEP 578. Called for every audit event, so it decides by the name alone.
unsafe extern "C" fn on_event(event: *const c_char, _: *mut ffi::PyObject, _: *mut c_void) -> c_int {
    const STARTS: [&CStr; 6] =
        [c"subprocess.Popen", c"os.system", c"os.posix_spawn", c"os.exec", c"os.fork", c"os.forkpty"];
    // SAFETY: PEP 578: `event` is a C string.
    let event = unsafe { CStr::from_ptr(event) };
    if STARTS.contains(&event) {
        fence("audit hook", (), mark_close_on_exec);
    }
    0
}

fn mark_close_on_exec() {
    // SAFETY: close_range(2) with this flag changes flags of descriptors and nothing else.
    let status = unsafe { libc::close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as c_int) };
    if status == 0 {
        return;
    }
    // Linux before 5.11.
    for fd in open_descriptors() {
        // SAFETY: a number that is not open any more is answered by EBADF.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

fn open_descriptors() -> Vec<RawFd> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(|fd| *fd > 2).collect()
}

/// In a child of os.fork(): gives up the server's sockets, which would keep its port in use after it has ended.
#[pyfunction]
pub(crate) fn leave_server() {
    // The thread that forked did not hold the lock; if another did, the child lives with the descriptors.
    let Ok(mut servers) = SERVERS.try_lock() else { return };
    for socket in servers.drain(..) {
        if Socket::at(socket.fd) == Some(socket) {
            // SAFETY: the child's copy of a descriptor that no code of the child uses.
            unsafe { libc::close(socket.fd) };
        }
    }
}
