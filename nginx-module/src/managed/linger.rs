// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes that a request has left before they were done. Their place is free when they close the connection: until then they
//! work for nobody, and the next request would wait behind that.

use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::c_void,
    io::{ErrorKind, Read},
    net::Shutdown,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    os::unix::net::UnixStream,
    ptr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use gangway::{
    engine::fence,
    protocol::{Decoder, ResponseEvent},
    supervise::segment::{Place, Segment},
};
use nginx_sys::ngx_event_t;

use super::{queue::give_back, service::Service};
use crate::raw::{Timer, Watch, timer_data, watch_data};

/// How long a process may take to notice, where `timeout=` says nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of what it still writes is thrown away at a time.
const PART: usize = 16 * 1024;
const PARTS: usize = 8;

struct Lingering {
    /// Before the connection, which is closed after it.
    watch: Watch,
    connection: UnixStream,
    place: Option<Place>,
    segment: Arc<Segment>,
    service: Rc<Service>,
    /// The process is still to be told that nobody asks any more.
    is_untold: bool,
    /// Where a response is whose process has not been told: it leaves the connection open behind the end.
    rest: Option<Decoder>,
    timer: Timer,
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            give_back(&self.segment, place);
        }
    }
}

thread_local! {
    /// By their descriptors.
    static LINGERING: RefCell<HashMap<RawFd, Lingering>> = RefCell::default();
}

/// Why a request has left its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Nobody wants the response.
    Abandoned,
    /// The client has its response, of which the process gives what nobody wants, as a body to HEAD: it may go on.
    Answered,
}

/// Gives a place back when its process has closed the connection, or ended a response whose `rest` nobody wants. One that does not in time is
/// stuck.
pub(super) fn until_end(
    connection: OwnedFd,
    (service, segment): (&Rc<Service>, &Arc<Segment>),
    place: Place,
    rest: Option<Decoder>,
) {
    let connection = UnixStream::from(connection);
    if rest.is_none() {
        tell(&connection);
    }
    let fd = connection.as_raw_fd();
    let Some(watch) = Watch::new(connection.as_fd(), on_readable, data(fd)) else {
        give_back(segment, place);
        return;
    };
    let mut timer = Timer::new(on_timer, data(fd), false);
    timer.set(service.managed.timeout().unwrap_or(PATIENCE));
    let lingering = Lingering {
        connection,
        watch,
        place: Some(place),
        segment: Arc::clone(segment),
        service: Rc::clone(service),
        is_untold: rest.is_some(),
        rest,
        timer,
    };
    LINGERING.with_borrow_mut(|all| all.insert(fd, lingering));
}

/// An application that reads its requests sees that nobody asks any more.
fn tell(connection: &UnixStream) {
    // One that is closed already needs no word.
    let _ = connection.shutdown(Shutdown::Write);
}

/// Whether these bytes end the response.
fn has_end(rest: &mut Decoder, mut bytes: &[u8]) -> bool {
    while let Ok((count, event)) = rest.decode(bytes) {
        match event {
            ResponseEvent::End(_) => return true,
            ResponseEvent::More => return false,
            _ => bytes = bytes.get(count..).unwrap_or_default(),
        }
    }
    // Whatever that is: its connection tells when it ends.
    false
}

/// A number in the place of an address.
fn data(fd: RawFd) -> *mut c_void {
    ptr::without_provenance_mut(fd as usize)
}

fn end(fd: RawFd) {
    // What it gives back may let another request go: not while the table is borrowed.
    let ended = LINGERING.with_borrow_mut(|all| all.remove(&fd));
    drop(ended);
}

unsafe extern "C" fn on_readable(event: *mut ngx_event_t) {
    fence("managed::on_readable", (), || {
        // SAFETY: nginx calls this with the event of a watch that has been given a descriptor's number.
        let fd = unsafe { watch_data(event) }.addr() as RawFd;
        let has_ended = LINGERING.with_borrow_mut(|all| {
            let Some(lingering) = all.get_mut(&fd) else { return false };
            let mut part = [0; PART];
            for _ in 0..PARTS {
                match lingering.connection.read(&mut part) {
                    Ok(0) => return true,
                    Ok(count) => {
                        let bytes = part.get(..count).unwrap_or_default();
                        if lingering.rest.as_mut().is_some_and(|rest| has_end(rest, bytes)) {
                            return true;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return error.kind() != ErrorKind::WouldBlock,
                }
            }
            // Others come first.
            lingering.watch.event().post();
            false
        });
        if has_ended {
            end(fd);
        }
    });
}

unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    fence("managed::on_patience", (), || {
        // SAFETY: nginx calls this with the event of a timer that has been given a descriptor's number.
        let fd = unsafe { timer_data(event) }.addr() as RawFd;
        let is_over = LINGERING.with_borrow_mut(|all| {
            let Some(lingering) = all.get_mut(&fd).filter(|lingering| lingering.is_untold) else {
                return true;
            };
            lingering.is_untold = false;
            tell(&lingering.connection);
            lingering.timer.set(lingering.service.managed.timeout().unwrap_or(PATIENCE));
            false
        });
        if !is_over {
            return;
        }
        let service = LINGERING.with_borrow(|all| {
            let lingering = all.get(&fd)?;
            lingering.segment.mark_stuck(lingering.place.as_ref()?);
            Some(Rc::clone(&lingering.service))
        });
        end(fd);
        if let Some(service) = service {
            service.demand();
        }
    });
}

/// The worker ends.
pub(super) fn stop() {
    let all = LINGERING.take();
    drop(all);
}
