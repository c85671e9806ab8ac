// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the child processes of an application inherit: 0, 1, 2 and what the application passes on itself.
//!
//! A server process holds listening sockets, its clients' connections and keys of TLS, and nginx does not mark them
//! close-on-exec. Python closes them in most of the children that it starts, but not with `close_fds=False`,
//! `os.system()` and `os.posix_spawn()`. Before each of them everything that is open is marked, but what the application
//! has made inheritable itself; requests pay nothing.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    fs,
    os::fd::RawFd,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use gangway_python_shared::fence::fence;
use pyo3::{ffi, prelude::*};

use crate::{forked, symbols::symbol};

/// What the server had open before the first line of an application.
static SERVERS: Mutex<Servers> = Mutex::new(Servers { files: Vec::new(), listens: Vec::new() });

/// What the application wants its children to have.
static INHERITABLE: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// What the application had open when it was loaded in a process that is to be forked.
static OWN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// This process is a forked child, and what was the server's is closed or marked.
static GIVEN_UP: AtomicBool = AtomicBool::new(false);

struct Servers {
    files: Vec<File>,
    /// Where it listens: its clients' connections have these addresses.
    listens: Vec<Address>,
}

/// An open file by its number and its inode, which no other socket, pipe or file has: the server may close it, and the
/// number is then perhaps a pipe of the application's.
#[derive(Clone, Copy, PartialEq, Eq)]
struct File {
    fd: RawFd,
    device: u64,
    inode: u64,
    is_socket: bool,
}

impl File {
    fn at(fd: RawFd) -> Option<Self> {
        let mut status = std::mem::MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: fstat(2) writes one stat, and all-zero is one as well.
        let (answer, status) = unsafe { (libc::fstat(fd, status.as_mut_ptr()), status.assume_init()) };
        let kind = status.st_mode & libc::S_IFMT;
        let is_socket = kind == libc::S_IFSOCK;
        // Events, timers and their like have no kind, and one inode for all of them.
        let has_inode = is_socket || [libc::S_IFREG, libc::S_IFIFO].contains(&kind);
        (answer == 0 && has_inode).then_some(Self {
            fd,
            device: status.st_dev,
            inode: status.st_ino,
            is_socket,
        })
    }
}

/// The address of a socket as far as a listening one and the connections that come in there share it.
#[derive(PartialEq, Eq)]
enum Address {
    Port(u16),
    Path(Vec<u8>),
}

impl Address {
    fn of(fd: RawFd) -> Option<Self> {
        Self::read(fd, libc::getsockname)
    }

    fn of_peer(fd: RawFd) -> Option<Self> {
        Self::read(fd, libc::getpeername)
    }

    fn read(
        fd: RawFd,
        call: unsafe extern "C" fn(c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> c_int,
    ) -> Option<Self> {
        let mut bytes = [0u8; size_of::<libc::sockaddr_storage>()];
        let mut length = bytes.len() as libc::socklen_t;
        // SAFETY: as many bytes are writable as the length says.
        if unsafe { call(fd, bytes.as_mut_ptr().cast(), &raw mut length) } != 0 {
            return None;
        }
        let address = bytes.get(..length as usize)?;
        match (c_int::from(u16::from_ne_bytes([*address.first()?, *address.get(1)?])), address.get(2..)?) {
            (libc::AF_INET | libc::AF_INET6, [high, low, ..]) => {
                Some(Self::Port(u16::from_be_bytes([*high, *low])))
            }
            (libc::AF_UNIX, path) if !path.is_empty() => Some(Self::Path(path.to_vec())),
            _ => None,
        }
    }
}

fn listens(fd: RawFd) -> bool {
    let mut answer: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: a number is writable, and its size is said.
    unsafe {
        let answer = (&raw mut answer).cast();
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN, answer, &raw mut length);
    }
    answer != 0
}

type AuditHook = unsafe extern "C" fn(*const c_char, *mut ffi::PyObject, *mut c_void) -> c_int;

/// Watches for children. Before the interpreter starts.
pub(crate) fn watch() {
    note_servers(open_files().collect());
    forked::watch();
    let Some(add) = symbol(c"PySys_AddAuditHook") else { return };
    // SAFETY: PEP 578: the symbol has this type in every version from 3.8 on, and may be called before the start.
    unsafe {
        let add =
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn(AuditHook, *mut c_void) -> c_int>(add);
        add(on_event, std::ptr::null_mut());
    }
}

fn open_files() -> impl Iterator<Item = File> {
    open_descriptors().into_iter().filter_map(File::at)
}

fn note_servers(files: Vec<File>) {
    let listening = files.iter().filter(|file| file.is_socket && listens(file.fd));
    let listens = listening.filter_map(|file| Address::of(file.fd)).collect();
    *SERVERS.lock().unwrap_or_else(PoisonError::into_inner) = Servers { files, listens };
}

/// The application is loaded in a process that is to be forked: what is open besides the server's is its own.
pub(crate) fn note_own() {
    let servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    let own = open_files().filter(|file| !servers.files.contains(file)).collect();
    *OWN.lock().unwrap_or_else(PoisonError::into_inner) = own;
}

/// Connections among what the application has open.
pub(crate) fn own_connections() -> usize {
    let own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    own.iter().filter(|file| file.is_socket && Address::of_peer(file.fd).is_some()).count()
}

/// In a process that the server has forked: all that is open but for the application's own is the server's.
pub(crate) fn take_servers() {
    let own = std::mem::take(&mut *OWN.lock().unwrap_or_else(PoisonError::into_inner));
    note_servers(open_files().filter(|file| !own.contains(file)).collect());
}

/// PEP 578. Called for every audit event, so it decides by the name alone.
unsafe extern "C" fn on_event(event: *const c_char, _: *mut ffi::PyObject, _: *mut c_void) -> c_int {
    const STARTS: [&CStr; 6] =
        [c"subprocess.Popen", c"os.system", c"os.posix_spawn", c"os.exec", c"os.fork", c"os.forkpty"];
    // SAFETY: PEP 578: `event` is a C string.
    let event = unsafe { CStr::from_ptr(event) };
    if STARTS.contains(&event) {
        fence("audit hook", (), || {
            // A forked child has the marks of before it began, and what it takes back or adds is its own.
            if !GIVEN_UP.load(Ordering::Relaxed) {
                mark_servers();
            }
        });
    }
    0
}

/// The application has made a descriptor inheritable.
#[pyfunction]
pub(crate) fn note_inheritable(fd: RawFd) {
    let Some(file) = File::at(fd) else { return };
    let mut files = INHERITABLE.lock().unwrap_or_else(PoisonError::into_inner);
    files.retain(|noted| noted.fd != fd && File::at(noted.fd) == Some(*noted));
    files.push(file);
}

/// Marks all but what the application has made inheritable. It may have changed its mind or closed that meanwhile, and
/// the number may be another file's.
fn mark_servers() {
    // SAFETY: reads a flag; a number that is not open is answered by -1.
    let inherited =
        |file: &File| File::at(file.fd) == Some(*file) && unsafe { libc::fcntl(file.fd, libc::F_GETFD) } == 0;
    let mut files = INHERITABLE.lock().unwrap_or_else(PoisonError::into_inner);
    files.retain(inherited);
    mark_close_on_exec();
    for file in files.iter() {
        // SAFETY: changes a flag of a descriptor of the application's.
        unsafe { libc::fcntl(file.fd, libc::F_SETFD, 0) };
    }
}

fn mark_close_on_exec() {
    // SAFETY: close_range(2) with this flag changes flags of descriptors and nothing else. By its number: the C library
    // may be older than the kernel.
    let status = unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_uint)
    };
    if status == 0 {
        return;
    }
    // Linux before 5.11.
    for fd in open_descriptors() {
        // SAFETY: a number that is not open any more is answered by EBADF.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Those above 2.
pub(crate) fn open_descriptors() -> Vec<RawFd> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(|fd| *fd > 2).collect()
}

/// In a child of os.fork(): gives up what is the server's. A listening socket would keep its port in use after the
/// server has ended, and a client whose connection the child holds would wait for its end.
pub(crate) fn close_servers() {
    GIVEN_UP.store(true, Ordering::Relaxed);
    // The thread that forked did not hold the lock; if another did, the child lives with the descriptors.
    let Ok(mut servers) = SERVERS.try_lock() else { return };
    let servers = std::mem::replace(&mut *servers, Servers { files: Vec::new(), listens: Vec::new() });
    for file in open_descriptors().into_iter().filter_map(File::at) {
        let is_client =
            || file.is_socket && Address::of(file.fd).is_some_and(|at| servers.listens.contains(&at));
        if servers.files.contains(&file) || is_client() {
            // SAFETY: the child's copy of a descriptor that no code of the child uses.
            unsafe { libc::close(file.fd) };
        }
    }
}
