// SPDX-License-Identifier: MIT OR Apache-2.0
//! What bindgen makes of include/gangway.h; the header is the documentation.
#![allow(
    missing_docs,
    non_camel_case_types,
    unused_qualifications,
    clippy::all,
    reason = "generated code; the header documents it"
)]

include!(concat!(env!("OUT_DIR"), "/gangway_h.rs"));
