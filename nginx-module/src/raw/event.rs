// SPDX-License-Identifier: MIT OR Apache-2.0
//! Timers and watched descriptors of the event loop.

use std::{
    ffi::c_void,
    mem,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
    time::Duration,
};

use nginx_sys::{
    NGX_PROCESS_WORKER, NGX_USE_CLEAR_EVENT, ngx_add_timer, ngx_connection_t, ngx_cycle, ngx_del_timer,
    ngx_event_flags, ngx_event_t, ngx_exiting, ngx_free_connection, ngx_get_connection,
    ngx_handle_read_event, ngx_process, ngx_quit, ngx_terminate,
};

use super::{Connection, connection::ConnectionEvent};

/// A moment by nginx's own clock, which stands still within a turn of the event loop and costs no look at another.
#[derive(Clone, Copy)]
pub(crate) struct Msec(nginx_sys::ngx_msec_t);

impl Msec {
    pub(crate) fn now() -> Self {
        // SAFETY: a number that the event loop's only thread writes.
        Self(unsafe { nginx_sys::ngx_current_msec })
    }

    /// Of the clock that nobody sets.
    pub(crate) fn number(self) -> u64 {
        self.0 as u64
    }

    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_millis(Self::now().0.wrapping_sub(self.0) as u64)
    }
}

/// A timer at a fixed address.
pub(crate) struct Timer(Box<Inner>);

struct Inner {
    event: ngx_event_t,
    owner: Owner,
}

/// What the data of an event has to be: nginx's debug log takes it for a connection and reads the descriptor. This is the
/// beginning of one.
#[repr(C)]
struct Owner {
    data: *mut c_void,
    read: *mut ngx_event_t,
    write: *mut ngx_event_t,
    fd: nginx_sys::ngx_socket_t,
}

const _: () = {
    assert!(mem::offset_of!(Owner, data) == mem::offset_of!(ngx_connection_t, data));
    assert!(mem::offset_of!(Owner, fd) == mem::offset_of!(ngx_connection_t, fd));
};

/// The data that [`Timer::new`] was given.
///
/// # Safety
/// `event` is the one that nginx has called the handler of a live [`Timer`] with.
pub(crate) unsafe fn timer_data(event: *mut ngx_event_t) -> *mut c_void {
    // SAFETY: `Timer::new` has made the data of the caller's event its owner, which stands at a fixed address beside it.
    unsafe { (*(*event).data.cast::<Owner>()).data }
}

impl Timer {
    /// A timer that calls `handler` with an event whose [`timer_data`] is `data`. `holds_worker`: a worker that shuts down
    /// gracefully waits for it.
    pub(crate) fn new(
        handler: unsafe extern "C" fn(*mut ngx_event_t),
        data: *mut c_void,
        holds_worker: bool,
    ) -> Self {
        let owner = Owner { data, read: ptr::null_mut(), write: ptr::null_mut(), fd: -1 };
        // SAFETY: all-zero is what nginx's own modules start an event from.
        let mut inner = Box::new(Inner { event: unsafe { mem::zeroed() }, owner });
        inner.event.data = (&raw mut inner.owner).cast();
        let event = &mut inner.event;
        event.handler = Some(handler);
        // SAFETY: ngx_cycle is set in a worker.
        event.log = unsafe { (*ngx_cycle).log };
        event.set_cancelable(u32::from(!holds_worker));
        Self(inner)
    }

    /// Starts it. One that runs and would end less than 300 ms earlier or later goes on as it is: nginx's own rule, which
    /// [`Timer::stop`] gets around.
    pub(crate) fn set(&mut self, after: Duration) {
        // SAFETY: the event has a fixed address and is removed before it is dropped.
        unsafe { ngx_add_timer(&raw mut self.0.event, after.as_millis().max(1) as _) }
    }

    /// Whether it runs.
    pub(crate) fn is_set(&self) -> bool {
        self.0.event.timer_set() != 0
    }

    /// Stops it.
    pub(crate) fn stop(&mut self) {
        if self.0.event.timer_set() != 0 {
            // SAFETY: it is set.
            unsafe { ngx_del_timer(&raw mut self.0.event) }
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A watch of the event loop over a descriptor of ours, for reading. It ends when this is dropped.
pub(crate) struct Watch(NonNull<ngx_connection_t>);

impl Watch {
    /// Has `handler` called with an event whose [`watch_data`] is `data`. The descriptor stays its owner's, who keeps it open
    /// for longer than the watch. `None` where nginx has no connection left, or the kernel no room.
    pub(crate) fn new(
        fd: BorrowedFd<'_>,
        handler: unsafe extern "C" fn(*mut ngx_event_t),
        data: *mut c_void,
    ) -> Option<Self> {
        // SAFETY: in init_process and later the event core is ready (its init_process ran first); nginx gives a connection with
        // zeroed events, which nobody but this value has until it is given back.
        unsafe {
            let log = (*ngx_cycle).log;
            let connection = NonNull::new(ngx_get_connection(fd.as_raw_fd(), log))?;
            let c = &mut *connection.as_ptr();
            (c.data, c.log, (*c.write).log) = (data, log, log);
            ((*c.read).handler, (*c.read).log) = (Some(handler), log);
            if ngx_handle_read_event(c.read, 0) != 0 {
                ngx_free_connection(c);
                return None;
            }
            Some(Self(connection))
        }
    }

    /// Has `handler` called, too, each time that there is room for output again.
    pub(crate) fn tell_room(&self, handler: unsafe extern "C" fn(*mut ngx_event_t)) {
        // SAFETY: the watch's connection has its events, and the functions of the event method are set.
        unsafe {
            let write = (*self.0.as_ptr()).write;
            (*write).handler = Some(handler);
            (*write).set_ready(0);
            // Without it the end of the connection is what is told.
            let _ = nginx_sys::ngx_handle_write_event(write, 0);
        }
    }

    /// Has `handler` called, too, when the worker begins to shut down: as nginx calls those of connections that it may close then.
    pub(crate) fn tell_exit(&self) {
        // SAFETY: a connection of this process's array, which is ours as long as the watch.
        unsafe { (*self.0.as_ptr()).set_idle(1) }
    }

    /// The event that its handler is called with.
    pub(crate) fn event(&self) -> ConnectionEvent {
        // SAFETY: a connection of this process's array, which is ours as long as the watch.
        unsafe { Connection::from_raw_unchecked(self.0.as_ptr()) }.read()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: nginx's connections are never freed, and this one is ours until it is given back here, once. An event that has
        // been taken from the kernel already finds that the connection is another one, or none.
        unsafe {
            let connection = self.0.as_ptr();
            let read = (*connection).read;
            if (*read).posted() != 0 {
                nginx_sys::ngx_delete_posted_event(read);
            }
            (*read).set_active(0);
            (*read).set_ready(0);
            let write = (*connection).write;
            if (*write).posted() != 0 {
                nginx_sys::ngx_delete_posted_event(write);
            }
            (*write).set_active(0);
            (*write).set_ready(0);
            // The number as nginx marks a free connection: a worker that ends reports every other one as left open.
            (*connection).fd = -1;
            ngx_free_connection(connection);
        }
    }
}

/// The data that [`Watch::new`] was given.
///
/// # Safety
/// `event` is the one that nginx has called the handler of a live [`Watch`] with.
pub(crate) unsafe fn watch_data(event: *mut ngx_event_t) -> *mut c_void {
    // SAFETY: nginx has made the watch's connection the data of the caller's event.
    unsafe { (*(*event).data.cast::<ngx_connection_t>()).data }
}

/// Whether the event method tells of each change once, so that nobody has to read what shows it.
pub(crate) fn has_edges() -> bool {
    // SAFETY: a plain number that is set before there are events.
    unsafe { ngx_event_flags & NGX_USE_CLEAR_EVENT as usize != 0 }
}

/// Whether this process only tests a configuration.
pub(crate) fn is_test() -> bool {
    // SAFETY: a plain number that nginx sets from its arguments.
    unsafe { nginx_sys::ngx_test_config != 0 }
}

/// Names this process in ps(1).
pub(crate) fn set_title(title: &'static std::ffi::CStr) {
    // SAFETY: nginx has room for titles since its start; it only reads the text.
    unsafe { nginx_sys::ngx_setproctitle(title.as_ptr().cast_mut()) }
}

/// Empties an eventfd or a timerfd when the event method is level-triggered; with epoll it need not be read.
///
/// # Safety
/// `event` is the one that nginx has called the handler of a live [`Watch`] of an eventfd or a timerfd with.
pub(crate) unsafe fn acknowledge(event: *mut ngx_event_t) {
    if has_edges() {
        return;
    }
    // SAFETY: nginx has made the connection of the caller's event the event's data; eight bytes are what either descriptor
    // gives.
    unsafe {
        let mut count = [0u8; 8];
        let fd = (*(*event).data.cast::<ngx_connection_t>()).fd;
        libc::read(fd, ptr::from_mut(&mut count).cast(), count.len());
    }
}

/// Whether this worker has been told to end at once, rather than gracefully.
pub(crate) fn now_exiting() -> bool {
    // SAFETY: plain flags of the worker's own thread.
    unsafe { ngx_terminate != 0 || (ngx_exiting == 0 && ngx_quit == 0) }
}

/// Makes this worker shut down gracefully; the master starts another. Answers whether there is a master.
pub(crate) fn quit_this_worker() -> bool {
    // SAFETY: plain flags; `ngx_quit` is what a SIGQUIT from the master would set.
    unsafe {
        let has_master = ngx_process == NGX_PROCESS_WORKER as usize;
        if has_master {
            ngx_quit = 1;
        }
        has_master
    }
}

/// Leaves the exit statuses of child processes to the applications that have started them. nginx's handler of SIGCHLD
/// collects those of every child, although only its master has children of its own.
pub(crate) fn leave_children_alone() {
    // SAFETY: the default action of SIGCHLD is none; no other thread runs yet that could rely on a handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}
