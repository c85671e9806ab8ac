// SPDX-License-Identifier: MIT OR Apache-2.0
//! nginx's types behind small wrappers: the place where this module touches nginx memory.
//!
//! Everything here runs on the worker's one event-loop thread (or, for configuration, the master's). What stands for
//! something of nginx's ([`Request`], [`Upstream`], [`Connection`]) is a number for it and gives out no reference to it:
//! nginx changes all of them in every call. It is of no use after nginx has freed the request, which happens in a finalize
//! call of ours or in an event that runs our cleanup handler first. Who comes back later has a [`Ticket`]; what a cycle
//! owns is [`InCycle`].
//!
//! It may touch nginx, the core's plain types and the number of this module, and names nothing above it.

#![expect(unused_unsafe, reason = "`field!` is used inside of larger unsafe blocks as well")]

mod auth;
mod body;
mod chain;
mod client;
mod conf;
mod connection;
mod cycle;
mod end;
mod event;
mod field;
mod files;
mod header;
mod host;
mod interim;
#[cfg(ngx_feature = "http_v2")]
mod interim_v2;
mod memo;
mod output;
mod pool_text;
mod redirect;
mod repeat;
mod request;
mod response;
mod text;
mod ticket;
mod upstream;
mod upstream_buffer;

pub(crate) use auth::auth_basic_guards;
pub(crate) use body::{More, RequestBuffer};
pub(crate) use chain::{NoMemory, buffers, is_special, tag};
pub(crate) use conf::{Conf, ConfText, Phase, Setter, command, command_end, error_text, own};
pub(crate) use connection::Connection;
pub(crate) use cycle::{Cycle, InCycle, PerHttp, PerLocation};
pub(crate) use event::{
    Msec, Timer, acknowledge, close_watch, forget_watch, has_edges, is_test, leave_children_alone,
    now_exiting, quit_this_worker, set_title, timer_data, watch,
};
pub(crate) use memo::{MemoIndex, PerRequest, add_memo};
pub(crate) use output::Buffers;
pub(crate) use pool_text::PoolText;
pub(crate) use request::Request;
pub(crate) use response::HeaderSlot;
pub(crate) use text::{ALIAS_OF_ALL, bytes, str_bytes};
pub(crate) use ticket::{Ticket, Tickets};
pub(crate) use upstream::{Balancer, Hooks, Upstream};

use nginx_sys::{ngx_cycle, ngx_log_error_core, ngx_log_t, ngx_uint_t};

use gangway::log::Level;

/// nginx's number for a level.
fn level_number(level: Level) -> ngx_uint_t {
    let number = match level {
        Level::Error | Level::Further => nginx_sys::NGX_LOG_ERR,
        Level::Warn => nginx_sys::NGX_LOG_WARN,
        Level::Notice => nginx_sys::NGX_LOG_NOTICE,
        Level::Info => nginx_sys::NGX_LOG_INFO,
        Level::Debug => nginx_sys::NGX_LOG_DEBUG,
    };
    number as ngx_uint_t
}

/// Writes a line to a log of nginx; a long one in parts, because nginx cuts lines at 2048 bytes.
///
/// # Safety
/// `log` is a live log of this process and the calling thread is the event loop's.
unsafe fn write_log(log: *mut ngx_log_t, level: Level, line: &str) {
    const PART: usize = 1600;
    let number = level_number(level);
    // SAFETY: the caller's log is live.
    if unsafe { (*log).log_level } < number {
        return;
    }
    // The handler is what writes the context of a request behind a line.
    // SAFETY: the caller's log is live, and this thread alone uses it.
    let handler = unsafe { (*log).handler };
    if level == Level::Further {
        // SAFETY: the caller's log is live, and this thread alone uses it.
        unsafe { (*log).handler = None };
    }
    let mut rest = line;
    loop {
        let mut at = rest.len().min(PART);
        while !rest.is_char_boundary(at) {
            at -= 1;
        }
        let (part, more) = rest.split_at(at);
        // SAFETY: the caller's log is live; "%*s" takes a size_t and that many bytes.
        unsafe { ngx_log_error_core(number, log, 0, c"%*s".as_ptr(), part.len(), part.as_ptr()) };
        if more.is_empty() {
            break;
        }
        rest = more;
    }
    // SAFETY: the caller's log is live, and this thread alone uses it.
    unsafe { (*log).handler = handler };
}

/// Writes a line about the process.
pub(crate) fn process_log(level: Level, line: &str) {
    // SAFETY: ngx_cycle and its log are set before any module code runs.
    unsafe { write_log((*ngx_cycle).log, level, line) }
}
