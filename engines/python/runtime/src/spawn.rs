// SPDX-License-Identifier: MIT OR Apache-2.0
//! `_posixsubprocess.fork_exec()` for the threads of a server.
//!
//! A child inherits the signal mask of the thread that starts it, and what its process ignores. The threads of a server
//! block all signals, so that those of the server reach the thread that waits for them; to unblock them for as long as
//! CPython's own function runs would let a signal of the server in on the wrong thread. So the child is made here, as
//! posix_spawn(3) makes it: it shares the memory until it executes, and sets its own mask before that.

use std::{
    ffi::{CString, c_char, c_int, c_uint, c_void},
    io,
    mem::MaybeUninit,
    ptr,
};

use pyo3::{exceptions::PyOSError, prelude::*, types::PyTuple};

use crate::children::open_descriptors;

/// Bytes of the stack that a child runs on until it executes.
const STACK: usize = 64 * 1024;
/// How many arguments CPython 3.9 and 3.10 pass. Since 3.11 a process group is among them.
const WITHOUT_GROUP: usize = 21;
/// More would be ones that are not known yet.
const MOST: usize = 23;
/// Signals that Python's own start ignores; `restore_signals=False` leaves them as they are.
const PYTHONS: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// The pipes and files for the child's 0, 1 and 2, and for its report, as `fork_exec()` gets them; -1 for none.
#[derive(Clone, Copy)]
struct Streams {
    input: c_int,
    output: c_int,
    error: c_int,
    report: c_int,
    /// The ends that are the parent's.
    parents: [c_int; 4],
}

/// What the child needs, made ready before it begins: it may not allocate.
struct Plan {
    programs: Vec<CString>,
    argv: Strings,
    /// `None` for the environment of this process.
    envp: Option<Strings>,
    directory: Option<CString>,
    streams: Streams,
    /// Ascending.
    keep: Vec<c_int>,
    close_others: bool,
    highest: c_int,
    restore_signals: bool,
    /// Bit 0 is signal 1.
    mask: u64,
    new_session: bool,
    /// -1 for none.
    group: c_int,
    gid: Option<libc::gid_t>,
    groups: Option<Vec<libc::gid_t>>,
    uid: Option<libc::uid_t>,
    /// -1 for what it is.
    umask: c_int,
    chdir_failed: Vec<u8>,
}

/// Starts a program; `None` if these are arguments for CPython's own function. `mask` are the signals that the
/// application wants blocked in the child, `chdir_failed` is what this version's `subprocess` takes for a directory
/// that cannot be entered.
#[pyfunction]
pub(crate) fn fork_exec(
    arguments: &Bound<'_, PyTuple>,
    mask: Vec<u32>,
    chdir_failed: Vec<u8>,
) -> PyResult<Option<i32>> {
    let count = arguments.len();
    let group = usize::from(count > WITHOUT_GROUP);
    // A function to be called in the child needs a child with memory of its own.
    if !(WITHOUT_GROUP..=MOST).contains(&count) || !arguments.get_item(20 + group)?.is_none() {
        return Ok(None);
    }
    let mut plan = Plan::new(arguments, group)?;
    plan.mask =
        mask.iter().fold(0, |mask, signal| mask | 1u64.checked_shl(signal.wrapping_sub(1)).unwrap_or(0));
    plan.chdir_failed = chdir_failed;
    let stack = Stack::new()?;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let blocked = Blocked::all();
    // SAFETY: the child runs `child` on a stack of its own while this thread waits; it reads the plan, makes system
    // calls that need nothing of other threads, and ends by execve(2) or _exit(2). No handler of this process runs in
    // it: all signals are blocked until it has set them to the default.
    let pid = unsafe { libc::clone(child, stack.top(), flags, (&raw mut plan).cast()) };
    let error = io::Error::last_os_error();
    drop(blocked);
    if pid < 0 { Err(os_error(&error)) } else { Ok(Some(pid)) }
}

fn os_error(error: &io::Error) -> PyErr {
    PyOSError::new_err((error.raw_os_error(), error.to_string()))
}

impl Plan {
    /// `group` is 1 if there is a process group among the arguments.
    fn new(arguments: &Bound<'_, PyTuple>, group: usize) -> PyResult<Self> {
        fn get<'py, T>(arguments: &Bound<'py, PyTuple>, index: usize) -> PyResult<T>
        where
            T: for<'a> FromPyObject<'a, 'py, Error: Into<PyErr>>,
        {
            arguments.get_item(index)?.extract().map_err(Into::into)
        }
        let (environment, directory) = (arguments.get_item(5)?, arguments.get_item(4)?);
        let number = |index| get::<c_int>(arguments, index);
        let mut keep: Vec<c_int> = get(arguments, 3)?;
        keep.sort_unstable();
        Ok(Self {
            programs: strings(&arguments.get_item(1)?)?,
            argv: Strings::new(strings(&arguments.get_item(0)?)?),
            envp: if environment.is_none() { None } else { Some(Strings::new(strings(&environment)?)) },
            directory: if directory.is_none() { None } else { Some(string(&directory)?) },
            streams: Streams {
                input: number(6)?,
                output: number(9)?,
                error: number(11)?,
                report: number(13)?,
                parents: [number(7)?, number(8)?, number(10)?, number(12)?],
            },
            highest: open_descriptors().into_iter().chain(keep.iter().copied()).max().unwrap_or(0),
            keep,
            close_others: arguments.get_item(2)?.is_truthy()?,
            restore_signals: arguments.get_item(14)?.is_truthy()?,
            mask: 0,
            new_session: arguments.get_item(15)?.is_truthy()?,
            group: if group == 1 { number(16)? } else { -1 },
            gid: get(arguments, 16 + group)?,
            groups: get(arguments, 17 + group)?,
            uid: get(arguments, 18 + group)?,
            umask: number(19 + group)?,
            chdir_failed: Vec::new(),
        })
    }
}

/// An array of strings as execve(2) takes it.
struct Strings {
    pointers: Vec<*const c_char>,
    _owned: Vec<CString>,
}

impl Strings {
    fn new(owned: Vec<CString>) -> Self {
        let pointers = owned.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _owned: owned }
    }
}

fn strings(sequence: &Bound<'_, PyAny>) -> PyResult<Vec<CString>> {
    sequence.try_iter()?.map(|word| string(&word?)).collect()
}

/// As `os.fsencode()` has it.
fn string(word: &Bound<'_, PyAny>) -> PyResult<CString> {
    let bytes: Vec<u8> = word.py().import("os")?.call_method1("fsencode", (word,))?.extract()?;
    CString::new(bytes).map_err(|_| pyo3::exceptions::PyValueError::new_err("embedded null byte"))
}

/// The memory of a child's stack, with a page below it that nobody may touch.
struct Stack(*mut c_void);

impl Stack {
    fn new() -> PyResult<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new mapping; the guard is its first page.
        unsafe {
            let base = libc::mmap(ptr::null_mut(), STACK, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            if base == libc::MAP_FAILED {
                return Err(os_error(&io::Error::last_os_error()));
            }
            libc::mprotect(base, 4096, libc::PROT_NONE);
            Ok(Self(base))
        }
    }

    fn top(&self) -> *mut c_void {
        self.0.wrapping_byte_add(STACK)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the child that ran on it has executed or ended.
        unsafe { libc::munmap(self.0, STACK) };
    }
}

/// All signals of this thread are blocked while it lives.
struct Blocked(libc::sigset_t);

impl Blocked {
    fn all() -> Self {
        let (mut all, mut old) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: both sets are writable and initialised by the calls, which cannot fail with a valid `how`.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
            Self(old.assume_init())
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set is the one that pthread_sigmask gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// Why a child could not execute: at which place, and the number of the error.
struct ExecFailure<'a>(&'a [u8], c_int);

/// From here to the end: nothing but system calls. The memory is the server's.
extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: `fork_exec` gives its plan, and waits until this child has executed or ended.
    let plan = unsafe { &*plan.cast::<Plan>() };
    let ExecFailure(place, number) = become_program(plan);
    report(plan.streams.report, place, number);
    // SAFETY: ends this process and runs nothing of the server's.
    unsafe { libc::_exit(255) }
}

fn become_program<'a>(plan: &'a Plan) -> ExecFailure<'a> {
    const NOT_YET: &[u8] = b"noexec";
    reset_signals(plan.restore_signals);
    if let Err(number) = place_streams(plan) {
        return ExecFailure(NOT_YET, number);
    }
    // SAFETY: live C strings, arrays and numbers; the raw calls change this process alone.
    unsafe {
        if plan.directory.as_ref().is_some_and(|directory| libc::chdir(directory.as_ptr()) != 0) {
            return ExecFailure(&plan.chdir_failed, errno());
        }
        if let Ok(umask) = libc::mode_t::try_from(plan.umask) {
            libc::umask(umask);
        }
        if plan.new_session {
            libc::setsid();
        }
        if plan.group >= 0 && libc::setpgid(0, plan.group) != 0 {
            return ExecFailure(NOT_YET, errno());
        }
        if !change_user(plan) {
            return ExecFailure(NOT_YET, errno());
        }
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const plan.mask, 0usize, 8usize);
    }
    if plan.close_others {
        close_others(&plan.keep, plan.highest);
    }
    execute(plan)
}

fn execute(plan: &Plan) -> ExecFailure<'_> {
    // SAFETY: the pointer is the C library's own, which this child only reads.
    let envp = plan.envp.as_ref().map_or_else(|| unsafe { environ }, |envp| envp.pointers.as_ptr());
    let mut first = 0;
    for program in &plan.programs {
        // SAFETY: C strings and arrays of them that end with null.
        unsafe { libc::execve(program.as_ptr(), plan.argv.pointers.as_ptr(), envp) };
        let number = errno();
        if number != libc::ENOENT && number != libc::ENOTDIR && first == 0 {
            first = number;
        }
    }
    ExecFailure(b"", if first == 0 { errno() } else { first })
}

/// The default for every signal: handlers are the server's, and what the server ignores its children would ignore.
fn reset_signals(all: bool) {
    // The kernel's own structure; zeros are the default. The raw call also reaches what glibc keeps to itself.
    let default = [0u64; 4];
    for signal in 1..=64 {
        if all || !PYTHONS.contains(&signal) {
            // SAFETY: 32 readable bytes; the handlers of this process are its own.
            unsafe {
                libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null::<u64>(), 8usize)
            };
        }
    }
}

/// Puts the streams at 0, 1 and 2, as CPython's `child_exec()` does.
fn place_streams(plan: &Plan) -> Result<(), c_int> {
    let Streams { input, mut output, mut error, report, parents } = plan.streams;
    let check = |result: c_int| if result < 0 { Err(errno()) } else { Ok(result) };
    // SAFETY: numbers of descriptors; the table is this child's own.
    unsafe {
        for fd in plan.keep.iter().copied().filter(|fd| *fd != report) {
            check(libc::fcntl(fd, libc::F_SETFD, 0))?;
        }
        for fd in parents.into_iter().filter(|fd| *fd >= 0) {
            libc::close(fd);
        }
        // What stands where another stream will be goes out of its way first.
        if output == 0 {
            output = check(libc::fcntl(output, libc::F_DUPFD_CLOEXEC, 3))?;
        }
        if error == 0 || error == 1 {
            error = check(libc::fcntl(error, libc::F_DUPFD_CLOEXEC, 3))?;
        }
        for (target, fd) in [(0, input), (1, output), (2, error)] {
            if fd == target {
                check(libc::fcntl(fd, libc::F_SETFD, 0))?;
            } else if fd >= 0 {
                check(libc::dup2(fd, target))?;
            }
        }
    }
    Ok(())
}

/// The raw calls change this process alone; glibc's would look for threads.
fn change_user(plan: &Plan) -> bool {
    // SAFETY: the groups are readable; the calls change credentials only.
    unsafe {
        let groups = plan.groups.as_ref();
        groups.is_none_or(|groups| libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) == 0)
            && plan.gid.is_none_or(|gid| libc::syscall(libc::SYS_setregid, gid, gid) == 0)
            && plan.uid.is_none_or(|uid| libc::syscall(libc::SYS_setreuid, uid, uid) == 0)
    }
}

/// Closes all descriptors above 2 but those to keep.
fn close_others(keep: &[c_int], highest: c_int) {
    let mut first = 3;
    for fd in keep.iter().copied().filter(|fd| *fd > 2).chain([c_int::MAX]) {
        if fd > first {
            close_range(first, fd - 1, highest);
        }
        first = fd.saturating_add(1);
    }
}

fn close_range(first: c_int, last: c_int, highest: c_int) {
    // SAFETY: numbers only; the table is this child's own. Kernels before 5.9 do not know the call.
    unsafe {
        let flags: c_uint = 0;
        if libc::syscall(libc::SYS_close_range, first, last, flags) != 0 {
            for fd in first..=last.min(highest) {
                libc::close(fd);
            }
        }
    }
}

fn errno() -> c_int {
    // SAFETY: the address of this thread's number, which the waiting parent shares.
    unsafe { *libc::__errno_location() }
}

/// `OSError:` the number in hexadecimal, `:` and the place, as `subprocess` reads it.
fn report(fd: c_int, place: &[u8], number: c_int) {
    let mut digits = [0u8; 8];
    let mut begin = digits.len();
    let mut rest = number.unsigned_abs();
    while begin > 0 && (rest > 0 || begin == digits.len()) {
        begin -= 1;
        digits[begin] = b"0123456789ABCDEF"[(rest % 16) as usize];
        rest /= 16;
    }
    for part in [b"OSError:", &digits[begin..], b":", place] {
        // SAFETY: readable bytes. The pipe is empty and takes them at once.
        unsafe { libc::write(fd, part.as_ptr().cast(), part.len()) };
    }
}
