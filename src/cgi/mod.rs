// SPDX-License-Identifier: MIT OR Apache-2.0
//! RFC 3875 (CGI/1.1): the meta-variables, used by every path to an application.

mod cookies;
mod path;
mod request_fields;
mod response;
pub mod script;
mod target;
mod variables;

pub use cookies::rejoin_cookies;
pub use path::split_mount;
pub use request_fields::write_request;
pub use response::{Form, Location, ResponseError, ResponseHead, ResponseParser};
pub use target::{LOCAL_REDIRECTS, RedirectTarget, TargetError};
pub use variables::{Extra, Facts, Param, meta_variables, write_meta_variables};
