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
mod body_filter;
mod chain;
mod client;
mod conf;
mod connection;
mod cycle;
mod end;
mod event;
mod facts;
mod field;
mod files;
mod filter;
mod group;
mod guard;
mod header;
mod host;
mod interim;
#[cfg(ngx_feature = "http_v2")]
mod interim_v2;
mod local_addr;
mod log;
mod log_file;
mod memo;
mod output;
mod phases;
mod pool_text;
mod redirect;
mod repeat;
mod request;
mod request_headers;
mod response;
mod stand_in;
mod status;
mod text;
mod ticket;
mod turn;
mod upgrade;
mod upstream;
mod upstream_buffer;

pub(crate) use auth::auth_basic_guards;
pub(crate) use body::{More, RequestBuffer};
pub(crate) use body_filter::{FilterInput, discard_chain, put_filters};
pub(crate) use chain::{CHAIN_ERROR, NoMemory, buffers, is_special, rooms, tag};
pub(crate) use conf::{Conf, ConfText, Phase, Setter, command, command_end, error_text, own};
pub(crate) use connection::Connection;
pub(crate) use cycle::{Cycle, InCycle, PerHttp, PerLocation};
pub(crate) use event::{
    Msec, Timer, Watch, acknowledge, has_edges, is_test, leave_children_alone, now_exiting, quit_this_worker,
    set_title, timer_data, watch_data,
};
pub(crate) use filter::{HeadFilter, put_head_filter_first};
pub(crate) use log::{install_log, log_of_other_threads, process_log};
pub(crate) use log_file::is_reload;
pub(crate) use memo::{MemoIndex, PerRequest, add_memo};
pub(crate) use output::{Buffers, Mark};
pub(crate) use pool_text::PoolText;
pub(crate) use request::Request;
pub(crate) use response::HeaderSlot;
pub(crate) use stand_in::{Functions, close_spare, take_back, unconnected, waiting};
pub(crate) use status::{
    AGAIN, BAD_GATEWAY, DECLINED, DONE, ERROR, FORBIDDEN, INTERNAL_SERVER_ERROR, INVALID_HEADER, MOVED,
    NOT_ALLOWED, NOT_FOUND, OK, SERVICE_UNAVAILABLE,
};
pub(crate) use text::{ALIAS_OF_ALL, bytes, str_bytes};
pub(crate) use ticket::{Ticket, Tickets};
pub(crate) use turn::TurnWork;
pub(crate) use upgrade::{HttpHandlers, is_exiting};
pub(crate) use upstream::{Balancer, Hooks, Upstream};
