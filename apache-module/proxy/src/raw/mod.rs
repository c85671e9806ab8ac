// SPDX-License-Identifier: MIT OR Apache-2.0
//! httpd's, mod_proxy's and APR's memory, and system calls: with `hooks` and `directives` the place of this crate with `unsafe`.
//!
//! A [`Request`] lives no longer than the call that brought it.

#![expect(unsafe_code, reason = "httpd's memory and system calls")]

mod backend;
mod canonical;
mod conf;
mod environment;
mod index;
mod input;
mod output;
mod redirect;
mod request;
mod request_state;
mod response;
mod server;
mod shared;
mod socket;
mod workers;

pub(crate) use backend::{Target, Wait};
pub(crate) use canonical::Address;
pub(crate) use conf::{
    BackendType, DirConf, Pass, Place, Pseudo, SetEnvIf, create as create_conf, merge as merge_conf,
};
pub(crate) use gangway_httpd::pooled::Text;
pub(crate) use index::module_index;
pub(crate) use input::{Body, Filled};
pub(crate) use output::{Output, Passed, Then};
pub(crate) use request::Request;
pub(crate) use server::{log_process, log_startup};
pub(crate) use shared::{Board, now};
pub(crate) use socket::{Interest, PATIENCE, Readiness, Received, Sent, Wire};
pub(crate) use workers::{define as define_workers, wish as wish_worker};

pub(crate) use gangway_httpd::{
    DECLINED, DONE, FILTER_ERROR, OK,
    status::{
        BAD_GATEWAY, BAD_REQUEST, FORBIDDEN, GATEWAY_TIME_OUT, INTERNAL_SERVER_ERROR, NOT_FOUND,
        REQUEST_TIME_OUT, SERVICE_UNAVAILABLE,
    },
};
use gangway_httpd::{sys, text};
