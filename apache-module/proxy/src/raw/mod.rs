// SPDX-License-Identifier: MIT OR Apache-2.0
//! httpd's, mod_proxy's and APR's memory, and system calls: with `hooks` and `directives` the place of this crate with `unsafe`.
//!
//! A [`Request`] lives no longer than the call that brought it.

#![expect(unsafe_code, reason = "httpd's memory and system calls")]

mod backend;
pub(crate) mod canonical;
mod conf;
pub(crate) mod environment;
mod input;
mod module;
mod notes;
mod output;
mod redirect;
pub(crate) mod response;
mod server;
mod shared;
mod workers;

pub(crate) use backend::ProxyTarget;
pub(crate) use conf::{Backend, BackendType, DirConf, Pass, Pseudo, SetEnvIf};
pub(crate) use input::RequestBody;
pub(crate) use module::{ProxyGangway, Request};
pub(crate) use notes::{is_mounted, look_for_script, set_mounted};
pub(crate) use output::{Output, answer_with_page};
pub(crate) use redirect::{asks_for_another, follow};
pub(crate) use server::{install_log, log_startup};
pub(crate) use shared::{Board, now};
pub(crate) use workers::{define as define_workers, note_backend};

pub(crate) use gangway_httpd::{
    DECLINED, DONE, FILTER_ERROR, OK,
    status::{
        BAD_GATEWAY, BAD_REQUEST, FORBIDDEN, GATEWAY_TIME_OUT, INTERNAL_SERVER_ERROR, NOT_FOUND,
        SERVICE_UNAVAILABLE,
    },
};
use gangway_httpd::{sys, text};
