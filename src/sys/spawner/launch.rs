// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the spawner to the script: a child that shares the spawner's memory until it executes, so that its price does
//! not depend on any memory (CLONE_VM with CLONE_VFORK, as posix_spawn(3) does it, which has no limits and no users).

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    ptr,
};

use super::{
    report::{Failure, Step},
    request::Run,
};
use crate::rights::Identity;

/// Bytes of the stack that the children of a thread run on, one after the other: it waits until each has executed.
const STACK: usize = 64 * 1024;

/// The children's stack, with a page below it that nobody may touch.
pub(super) struct Launcher {
    top: *mut c_void,
}

/// Who a child becomes.
#[derive(Clone, Copy, Debug)]
pub(super) enum RunAs<'a> {
    /// Nobody else.
    Same,
    /// The user of the server process.
    Server(&'a Identity),
    /// A user of the configuration, with the checks that belong to it.
    User(&'a Identity),
    /// The same for a program of the system that this user runs: it may be root's as well.
    Account(&'a Identity),
}

/// What a long-lived process has beside a script.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProcessAttributes {
    /// Its mode mask, if not the spawner's.
    pub(super) umask: Option<u32>,
    /// How far it stands behind others.
    pub(super) nice: u32,
    /// What it enters its control group by.
    pub(super) cgroup: Option<RawFd>,
    /// Descriptors that it may have if its words say nothing of it; 0: as many as the spawner.
    pub(super) files: u64,
    /// The process that it is not to survive: the spawner's own number; 0 is none.
    pub(super) parent: libc::pid_t,
}

/// All that a child needs, made ready before it begins: it may not allocate.
struct ExecPlan<'a> {
    run: &'a Run<'a>,
    fds: [RawFd; 3],
    user: RunAs<'a>,
    attributes: ProcessAttributes,
    argv: *const *const c_char,
    envp: *const *const c_char,
    /// Written by the child when it fails; the memory is shared.
    failure: Option<Failure>,
}

impl Launcher {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a new mapping; the guard is its first page.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
            let base = libc::mmap(ptr::null_mut(), STACK, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            if base == libc::MAP_FAILED || libc::mprotect(base, 4096, libc::PROT_NONE) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { top: base.byte_add(STACK) })
        }
    }

    /// Starts a script. Answers its process number; after a failure that of a child to collect, if there was one.
    pub(super) fn launch(
        &self,
        run: &Run<'_>,
        fds: &[OwnedFd; 3],
        user: RunAs<'_>,
        attributes: ProcessAttributes,
    ) -> Result<i32, (Failure, Option<i32>)> {
        let mut argv: Vec<*const c_char> = Vec::with_capacity(run.arguments.len() + 2);
        argv.push(run.program.as_ptr());
        argv.extend(run.arguments.iter().map(|word| word.as_ptr()));
        argv.push(ptr::null());
        let mut envp: Vec<*const c_char> = run.environment.iter().map(|word| word.as_ptr()).collect();
        envp.push(ptr::null());
        let mut plan = ExecPlan {
            run,
            fds: [fds[0].as_raw_fd(), fds[1].as_raw_fd(), fds[2].as_raw_fd()],
            user,
            attributes,
            argv: argv.as_ptr(),
            envp: envp.as_ptr(),
            failure: None,
        };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the child runs `child` on a stack of its own while this thread waits; it reads the plan and writes
        // `failure`, makes system calls that need nothing of other threads, and ends by execve(2) or _exit(2).
        let pid = unsafe { libc::clone(child, self.top, flags, (&raw mut plan).cast()) };
        if pid < 0 {
            let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
            return Err((Failure { step: Step::Process, errno }, None));
        }
        // SAFETY: `plan` is live; the child has written it through a pointer, so it is read anew.
        match unsafe { (&raw const plan.failure).read_volatile() } {
            None => Ok(pid),
            Some(failure) => Err((failure, Some(pid))),
        }
    }
}

extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: `launch` gives its plan, which nobody else touches until this child has executed or ended.
    let plan = unsafe { &mut *plan.cast::<ExecPlan<'_>>() };
    let Err(step) = enter(plan);
    let failure = Failure { step, errno: errno() };
    // SAFETY: the field is live; _exit(2) runs nothing of this process.
    unsafe {
        (&raw mut plan.failure).write_volatile(Some(failure));
        libc::_exit(127)
    }
}

fn errno() -> i32 {
    // SAFETY: the address of this thread's number, which the waiting spawner shares.
    unsafe { *libc::__errno_location() }
}

/// Becomes the script. Only system calls: the memory belongs to the spawner.
fn enter(plan: &ExecPlan<'_>) -> Result<std::convert::Infallible, Step> {
    let run = plan.run;
    // SAFETY: each call gets live C strings and numbers; what fails is answered by a number.
    unsafe {
        // A group of its own, to be ended as a whole. The session is the spawner's, which has no terminal: one of its own
        // would also get a scheduling group of its own (sched(7), autogroup), which made the slowest answers ten times slower.
        libc::setpgid(0, 0);
        // Before the user changes, and before the descriptor is closed.
        if plan.attributes.cgroup.is_some_and(|fd| libc::write(fd, c"0".as_ptr().cast(), 1) != 1) {
            return Err(Step::ControlGroup);
        }
        place_descriptors(plan.fds).ok_or(Step::Descriptors)?;
        set_limits(plan).ok_or(Step::Limits)?;
        match plan.user {
            RunAs::Same => {}
            RunAs::Server(identity) | RunAs::User(identity) | RunAs::Account(identity) => {
                change_user(identity).ok_or(Step::User)?;
            }
        }
        behave(plan.attributes).ok_or(Step::Process)?;
        if libc::chdir(run.directory.as_ptr()) != 0 {
            return Err(Step::Directory);
        }
        match plan.user {
            RunAs::User(identity) => check_owner(run.script, identity, run.script == run.program, false)?,
            RunAs::Account(identity) => check_owner(run.script, identity, true, true)?,
            RunAs::Same | RunAs::Server(_) => {}
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::execve(run.program.as_ptr(), plan.argv, plan.envp);
    }
    Err(Step::Execute)
}

/// # Safety
/// Only in a child, whose descriptors are its own.
unsafe fn place_descriptors(fds: [RawFd; 3]) -> Option<()> {
    for (target, fd) in (0..).zip(fds) {
        // SAFETY: numbers only. The spawner holds 0 to 2 itself, so those of the message are others and dup2(2)
        // takes their close-on-exec away.
        if unsafe { libc::dup2(fd, target) } < 0 {
            return None;
        }
    }
    // All of the spawner's own close on exec; this is for what somebody may have opened otherwise. Kernels before 5.9
    // do not know the call.
    // SAFETY: numbers only.
    unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
    Some(())
}

fn set_limits(plan: &ExecPlan<'_>) -> Option<()> {
    let limits = plan.run.limits;
    for (resource, limit) in [
        (libc::RLIMIT_AS, limits.memory),
        (libc::RLIMIT_CPU, limits.cpu),
        (libc::RLIMIT_NOFILE, limits.files),
    ] {
        if limit == 0 {
            continue;
        }
        // A second of grace lets a script that catches SIGXCPU say something.
        let hard = if resource == libc::RLIMIT_CPU { limit.saturating_add(1) } else { limit };
        let pair = libc::rlimit { rlim_cur: limit, rlim_max: hard };
        // SAFETY: one structure is readable. It is this process' own limit, not the spawner's.
        if unsafe { libc::setrlimit(resource, &raw const pair) } != 0 {
            return None;
        }
    }
    if limits.files == 0 && plan.attributes.files != 0 {
        lower_files(plan.attributes.files)?;
    }
    Some(())
}

/// Descriptors that this process may have unless it takes more: up to what its parent may have.
fn lower_files(files: u64) -> Option<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: one structure, writable and readable. It is this process' own limit, not the spawner's.
    let is_set = unsafe {
        let known = libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0;
        limit.rlim_cur = files.min(limit.rlim_max);
        known && libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
    };
    is_set.then_some(())
}

/// After the change of the user, which takes away what the kernel knows of the parent's end.
fn behave(attributes: ProcessAttributes) -> Option<()> {
    // SAFETY: numbers only; all of it is this process' own.
    unsafe {
        if let Some(mask) = attributes.umask {
            libc::umask(mask as libc::mode_t);
        }
        if attributes.nice > 0 && libc::setpriority(libc::PRIO_PROCESS, 0, attributes.nice as c_int) != 0 {
            return None;
        }
        if attributes.parent != 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            // It may have ended before that was said.
            if libc::syscall(libc::SYS_getppid) != i64::from(attributes.parent) {
                return None;
            }
        }
    }
    Some(())
}

/// Becomes somebody else for good. The raw calls change this process alone; glibc's would look for threads.
pub(in crate::sys) fn change_user(identity: &Identity) -> Option<()> {
    let (user, group) = (identity.user, identity.group);
    // SAFETY: the groups are readable; the calls change credentials only.
    unsafe {
        let groups = identity.groups.as_slice();
        if libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) != 0
            || libc::syscall(libc::SYS_setresgid, group, group, group) != 0
            || libc::syscall(libc::SYS_setresuid, user, user, user) != 0
        {
            return None;
        }
        // CVE-2014-0240 and kin: believe it only when it is so, and only when there is no way back.
        let is_so = libc::syscall(libc::SYS_getuid) == i64::from(user)
            && libc::syscall(libc::SYS_geteuid) == i64::from(user)
            && libc::syscall(libc::SYS_getgid) == i64::from(group)
            && libc::syscall(libc::SYS_getegid) == i64::from(group);
        let way_back = user != 0 && libc::syscall(libc::SYS_setresuid, 0, 0, 0) == 0;
        (is_so && !way_back).then_some(())
    }
}

/// What suexec checks of the directory, which is the working directory by now, and of the script. What is `root_too` may also be
/// root's, of any group, and be reached by a link: root alone can put it there or change it.
fn check_owner(script: &CStr, identity: &Identity, executed: bool, root_too: bool) -> Result<(), Step> {
    const OTHERS_WRITE: libc::mode_t = libc::S_IWGRP | libc::S_IWOTH;
    let belongs = |found: &libc::stat| match root_too {
        true => found.st_uid == identity.user || found.st_uid == 0,
        false => found.st_uid == identity.user && found.st_gid == identity.group,
    };
    let look = if root_too { libc::stat } else { libc::lstat };
    // SAFETY: a stat of zeros is valid; the calls get C strings and a writable structure.
    unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        if libc::stat(c".".as_ptr(), &raw mut found) != 0 {
            return Err(Step::Look);
        }
        if found.st_mode & OTHERS_WRITE != 0 {
            return Err(Step::DirectoryWritable);
        }
        if !belongs(&found) {
            return Err(Step::Owner);
        }
        if look(script.as_ptr(), &raw mut found) != 0 {
            return Err(Step::Look);
        }
        if found.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(Step::NoFile);
        }
        if found.st_mode & OTHERS_WRITE != 0 {
            return Err(Step::ScriptWritable);
        }
        if found.st_mode & (libc::S_ISUID | libc::S_ISGID) != 0 {
            return Err(Step::SetId);
        }
        if !belongs(&found) {
            return Err(Step::Owner);
        }
        if executed && !root_too && found.st_mode & libc::S_IXUSR == 0 {
            *libc::__errno_location() = libc::EACCES;
            return Err(Step::Execute);
        }
    }
    Ok(())
}
