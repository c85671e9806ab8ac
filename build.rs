// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the Rust types of the C ABI from include/gangway.h, so that the contract is written once.

use std::{env, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=include/gangway.h");
    let out = PathBuf::from(env::var("OUT_DIR")?).join("gangway_h.rs");
    bindgen::Builder::default()
        .header("include/gangway.h")
        .allowlist_item("(gw_|GW_).*")
        .use_core()
        .generate_cstr(true)
        .layout_tests(true)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .generate()?
        .write_to_file(out)?;
    Ok(())
}
