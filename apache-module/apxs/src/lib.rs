// SPDX-License-Identifier: MIT OR Apache-2.0
//! For build scripts: Rust types of httpd's and APR's headers, and how modules are linked. The environment variable APXS
//! chooses another httpd.

use std::{env, error::Error, path::PathBuf, process::Command};

/// What a module needs of httpd's headers: regular expressions over names.
#[derive(Clone, Copy, Debug)]
pub struct Names<'n> {
    /// Functions.
    pub functions: &'n [&'n str],
    /// Types, with all that they are made of.
    pub types: &'n [&'n str],
    /// Constants and variables.
    pub values: &'n [&'n str],
}

/// Writes `httpd.rs` into the output folder of the build script that calls this. `header` includes httpd's own.
///
/// # Errors
/// httpd's development files are missing, or clang cannot read them.
pub fn generate(header: &str, names: Names<'_>) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=APXS");
    println!("cargo:rerun-if-changed={header}");
    let mut builder = bindgen::Builder::default()
        .header(header)
        .clang_args(include_flags()?)
        .use_core()
        .generate_comments(false)
        .layout_tests(true)
        .prepend_enum_name(false)
        .rust_edition(bindgen::RustEdition::Edition2024);
    builder = names.functions.iter().fold(builder, |builder, name| builder.allowlist_function(name));
    builder = names.types.iter().fold(builder, |builder, name| builder.allowlist_type(name));
    builder = names.values.iter().fold(builder, |builder, name| builder.allowlist_var(name));
    builder.generate()?.write_to_file(PathBuf::from(env::var("OUT_DIR")?).join("httpd.rs"))?;
    Ok(())
}

/// Says how a module of httpd is linked.
pub fn link_module() {
    // httpd unloads and loads its modules again while it starts; threads may run code of ours for as long as the
    // process lives.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    link_tests();
}

/// Says how unit tests are linked: an executable without httpd, which touches nothing of it.
pub fn link_tests() {
    println!("cargo:rustc-link-arg=-Wl,--unresolved-symbols=ignore-all");
}

fn include_flags() -> Result<Vec<String>, Box<dyn Error>> {
    let apxs = env::var("APXS").unwrap_or_else(|_| "apxs".into());
    let mut flags = vec![format!("-I{}", run(&apxs, &["-q", "INCLUDEDIR"])?)];
    for (variable, arguments) in
        [("APR_CONFIG", &["--cppflags", "--includes"][..]), ("APU_CONFIG", &["--includes"])]
    {
        let tool = run(&apxs, &["-q", variable])?;
        flags.extend(run(&tool, arguments)?.split_whitespace().map(str::to_owned));
    }
    Ok(flags)
}

fn run(program: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("cannot run {program}: {error}; install httpd's development files (Debian: apache2-dev) or name its apxs in APXS"))?;
    if !output.status.success() {
        return Err(format!(
            "{program} {} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
