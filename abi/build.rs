// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the Rust types of the C ABI from include/gangway.h, so that the contract is written once.

use std::{env, error::Error, path::PathBuf};

use bindgen::callbacks::{IntKind, ParseCallbacks};

const HEADER: &str = "../include/gangway.h";

/// `gw_status` is an int32_t in C; the macros of its values must have the same type here.
#[derive(Debug)]
struct Statuses;

impl ParseCallbacks for Statuses {
    fn int_macro(&self, name: &str, _value: i64) -> Option<IntKind> {
        let is_status =
            matches!(name, "GW_OK" | "GW_AGAIN" | "GW_CANCELLED" | "GW_ERROR" | "GW_INVALID" | "GW_MISUSE");
        (is_status || name.starts_with("GW_ANSWER_")).then_some(IntKind::I32)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={HEADER}");
    let out = PathBuf::from(env::var("OUT_DIR")?).join("gangway_h.rs");
    bindgen::Builder::default()
        .header(HEADER)
        .allowlist_item("(gw_|GW_).*")
        .parse_callbacks(Box::new(Statuses))
        .use_core()
        .generate_cstr(true)
        .layout_tests(true)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .generate()?
        .write_to_file(out)?;
    Ok(())
}
