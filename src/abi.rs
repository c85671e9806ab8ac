// SPDX-License-Identifier: MIT OR Apache-2.0
//! The types of `include/gangway.h`, as generated: see that header for ownership, threads and errors.

#![allow(missing_docs, non_camel_case_types, unused_qualifications, unsafe_code, clippy::use_self)]

include!(concat!(env!("OUT_DIR"), "/gangway_h.rs"));
