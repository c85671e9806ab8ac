// SPDX-License-Identifier: MIT OR Apache-2.0
//! httpd's and APR's memory: the one place of this crate with `unsafe`.
//!
//! What httpd calls stands in `hooks` and `directives`, each a few lines around a safe function. A [`Request`]
//! lives no longer than the call that brought it; what outlives such a call, an exchange, holds a [`Lease`].

#![expect(unsafe_code, reason = "httpd's memory")]

mod brigade;
mod cgi;
mod conf;
mod directives;
mod hooks;
mod input;
mod lease;
mod pieces;
mod request;
mod response;
mod server;

pub use hooks::gangway_module;

pub(crate) use brigade::Session;
pub(crate) use conf::{Choice, DirConf, Section};
pub(crate) use directives::Command;
pub(crate) use input::{BodyError, BodyRead};
pub(crate) use lease::{Lease, with_lease};
pub(crate) use request::{BodyLength, Request, Socket};
pub(crate) use server::{
    ChildPool, busy_threads, is_same_process, is_single_process, is_stopping, leave, log_process,
    log_startup, on_exit, on_thread_end, process_id, retire_process, server_root, threads_per_process,
    warn_startup, worker,
};

pub(crate) use gangway_httpd::{
    DECLINED, FILTER_ERROR, OK,
    status::{
        BAD_GATEWAY, BAD_REQUEST, FORBIDDEN, GATEWAY_TIME_OUT, INTERNAL_SERVER_ERROR, NOT_FOUND,
        SERVICE_UNAVAILABLE, TOO_LARGE,
    },
};
use gangway_httpd::{sys, text};
