// SPDX-License-Identifier: MIT OR Apache-2.0
//! httpd as a whole: its log and its processes.

use std::ffi::c_int;

use gangway::{
    rights::Identity,
    sys::spawner::{account, is_root},
};

use gangway_httpd::server::{Server, all_servers};

use super::{ChildPool, connections, module::LOG, sys};

/// Sends the core's lines about the process to httpd's log.
pub(crate) fn install_log() {
    LOG.install();
}

/// The servers of the configuration, the main one first.
pub(crate) fn servers(_: &ChildPool) -> impl Iterator<Item = Server<'static>> {
    // SAFETY: a process that has such a pool is a child: it ends with its configuration.
    unsafe { all_servers() }
}

/// Writes a line that a configuration test shows.
pub(crate) fn log_startup(line: &str) {
    LOG.startup(line);
}

/// Writes a warning that a configuration test shows.
pub(crate) fn warn_startup(line: &str) {
    LOG.startup_warning(line);
}

/// The user that children become, if httpd is started by root and they become somebody else.
pub(crate) fn worker() -> Option<Identity> {
    // SAFETY: httpd's own, filled while directives are read, on this thread; the name is NULL or a C string.
    let (name, user, group) = unsafe {
        let config = &raw const sys::ap_unixd_config;
        ((*config).user_name, (*config).user_id, (*config).group_id)
    };
    if !is_root() || user == 0 || user == u32::MAX || name.is_null() {
        return None;
    }
    // SAFETY: not NULL, so a C string of httpd's own, which it does not free.
    Some(account(unsafe { std::ffi::CStr::from_ptr(name) }, user, group))
}

/// Whether httpd has a module of that name, which ends in `.c`.
pub(crate) fn is_loaded(module: &std::ffi::CStr) -> bool {
    // SAFETY: looks for a C string in httpd's list of modules.
    unsafe { !sys::ap_find_linked_module(module.as_ptr()).is_null() }
}

/// Whether httpd only tests its configuration.
pub(crate) fn is_test() -> bool {
    // SAFETY: it has no conditions.
    unsafe { sys::ap_state_query(sys::AP_SQ_RUN_MODE as c_int) == sys::AP_SQ_RM_CONFIG_TEST as c_int }
}

/// Whether httpd serves everything in this one process, for debugging (`httpd -X`). Otherwise there are others, if
/// only those that finish what they do after a graceful restart.
pub(crate) fn is_single_process() -> bool {
    let defined = |name: &std::ffi::CStr| {
        // SAFETY: looks for a C string in the list of -D words.
        unsafe { sys::ap_exists_config_define(name.as_ptr()) != 0 }
    };
    defined(c"DEBUG") || defined(c"ONE_PROCESS")
}

/// How many requests this process may serve at a time. The MPM has read its configuration before child_init.
pub(crate) fn threads_per_process() -> u32 {
    positive(sys::AP_MPMQ_MAX_THREADS)
}

/// How many processes may serve requests at a time, when the configuration has been read.
pub(crate) fn most_processes() -> u32 {
    positive(sys::AP_MPMQ_MAX_DAEMONS)
}

/// Whether the MPM goes on without a thread where a handler lets it.
pub(crate) fn is_async() -> bool {
    query(sys::AP_MPMQ_IS_ASYNC).is_some_and(|is_async| is_async != 0)
}

/// Whether a process serves several requests at a time.
pub(crate) fn is_threaded() -> bool {
    query(sys::AP_MPMQ_IS_THREADED).is_some_and(|threaded| threaded != 0)
}

fn positive(what: u32) -> u32 {
    query(what).and_then(|answer| u32::try_from(answer).ok()).unwrap_or(0).max(1)
}

/// Has this process end when it has served its connection, if httpd's MPM can do that.
pub(crate) fn retire_process() -> bool {
    if query(sys::AP_MPMQ_IS_THREADED) != Some(0) || is_single_process() {
        return false;
    }
    // SAFETY: to this process itself. AP_SIG_GRACEFUL makes a prefork child stop listening.
    unsafe { libc::kill(libc::getpid(), sys::GANGWAY_SIG_GRACEFUL) == 0 }
}

/// Whether this process has been told to end and waits for its threads.
pub(crate) fn is_stopping() -> bool {
    query(sys::AP_MPMQ_MPM_STATE) == Some(sys::AP_MPMQ_STOPPING as c_int)
}

/// So many threads of this process are at work, as its MPM has noted for mod_status, or connections are open.
pub(crate) fn busy_threads() -> usize {
    if !is_threaded() {
        return 1;
    }
    let all = |what| query(what).unwrap_or(0);
    let (children, threads) = (all(sys::AP_MPMQ_HARD_LIMIT_DAEMONS), all(sys::AP_MPMQ_HARD_LIMIT_THREADS));
    let own = process_id();
    let mut busy = 0;
    for child in 0..children {
        // SAFETY: NULL or an entry of the scoreboard, which lives as long as the process; its writers do not lock it either.
        unsafe {
            for thread in 0..threads {
                let worker = sys::ap_get_scoreboard_worker_from_indexes(child, thread);
                // A slot may have a new process while the old one finishes: each thread has its own number of one.
                if !worker.is_null() && u32::try_from((*worker).pid) == Ok(own) {
                    let status = u32::from((&raw const (*worker).status).read_volatile());
                    busy += usize::from((sys::SERVER_BUSY_READ..=sys::SERVER_CLOSING).contains(&status));
                }
            }
        }
    }
    busy.max(connections::open())
}

fn query(what: u32) -> Option<c_int> {
    let mut answer: c_int = 0;
    // SAFETY: writes one integer.
    let status = unsafe { sys::ap_mpm_query(what as c_int, &raw mut answer) };
    (status == 0).then_some(answer)
}

/// Ends the process where it is. Threads that hang cannot be waited for.
pub(crate) fn leave() -> ! {
    // SAFETY: _exit(2) touches no memory.
    unsafe { libc::_exit(0) }
}

/// The process that calls.
pub(crate) fn process_id() -> u32 {
    std::process::id()
}

/// Whether this is still the process of that number, not one that an application has forked from it.
pub(crate) fn is_same_process(id: u32) -> bool {
    process_id() == id
}
