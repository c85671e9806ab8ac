// SPDX-License-Identifier: MIT OR Apache-2.0
//! httpd's and APR's memory: with `hooks` and `directives` the place of this crate with `unsafe`.
//!
//! A [`Request`]
//! lives no longer than the call that brought it; what outlives such a call, an exchange, holds a [`Lease`].

#![expect(unsafe_code, reason = "httpd's memory")]

mod authorities;
mod connections;
mod conversation;
mod ends;
mod filters;
mod flow;
mod held;
mod includes;
mod input;
mod lease;
mod module;
mod output;
mod pieces;
mod plain;
mod request_state;
mod retained;
mod scripts;
mod server;
mod session;
mod stream;
mod suspended;
mod threads;
mod upgrade;

pub(crate) use authorities::{AuthScripts, RealmHash, Verdict, register_authorities};
pub(crate) use connections::count as count_connection;
pub(crate) use conversation::{Below, can_converse, converse};
pub(crate) use ends::{ChildPool, ConfigurationPool, on_configuration_end, on_exit};
pub(crate) use filters::{FilterState, add_filter, register_filter, register_filters};
pub(crate) use flow::Flow;
pub(crate) use includes::register_include;
pub(crate) use input::BodyRead;
pub(crate) use lease::{Lease, with_lease};
pub(crate) use module::{Choice, Claim, DirConf, Gangway, HandlerKind, Request};
pub(crate) use request_state::RequestState;
pub(crate) use retained::{leave as leave_open, note_start, take_left};
pub(crate) use scripts::ScriptRequest;
pub(crate) use server::{
    busy_threads, install_log, is_async, is_loaded, is_same_process, is_single_process, is_stopping, is_test,
    is_threaded, leave, log_startup, most_processes, process_id, retire_process, servers,
    threads_per_process, warn_startup, worker,
};
pub(crate) use session::Session;
pub(crate) use stream::{StreamInput, stream_threads};
pub(crate) use suspended::{ConnectionKey, LingeringClose, SUSPENDED, Suspended, can_suspend};
pub(crate) use threads::{ThreadEnd, on_thread_end};
pub(crate) use upgrade::Upgraded;

use gangway_httpd::sys;
pub(crate) use gangway_httpd::{
    DECLINED, OK,
    figures::{board, with_board},
    request::{BodyError, BodyLength, Socket},
    status::{
        BAD_GATEWAY, BAD_REQUEST, FORBIDDEN, GATEWAY_TIME_OUT, INTERNAL_SERVER_ERROR, METHOD_NOT_ALLOWED,
        NOT_FOUND, NOT_IMPLEMENTED, SERVICE_UNAVAILABLE, TOO_LARGE, UNAUTHORIZED,
    },
};
