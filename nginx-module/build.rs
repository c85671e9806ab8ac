// SPDX-License-Identifier: MIT OR Apache-2.0
//! Passes the features of the nginx that the headers belong to on to `cfg`.

use std::env;

fn main() {
    println!("cargo:rerun-if-env-changed=DEP_NGINX_FEATURES");
    println!(
        "cargo::rustc-check-cfg=cfg(ngx_feature, values(\"http_v2\", \"http_v3\", \"ssl\", \"pcre\", \"quic\"))"
    );
    for feature in env::var("DEP_NGINX_FEATURES").unwrap_or_default().split(',') {
        if ["http_v2", "http_v3", "ssl", "pcre", "quic"].contains(&feature) {
            println!("cargo::rustc-cfg=ngx_feature=\"{feature}\"");
        }
    }
    println!("cargo:rerun-if-env-changed=DEP_NGINX_VERSION_NUMBER");
    println!("cargo::rustc-check-cfg=cfg(nginx_certificate_cache)");
    let version = env::var("DEP_NGINX_VERSION_NUMBER").ok().and_then(|number| number.parse::<u32>().ok());
    println!("cargo::rustc-check-cfg=cfg(nginx_header_lists)");
    if version.is_some_and(|version| version >= 1_023_000) {
        println!("cargo::rustc-cfg=nginx_header_lists");
    }
    if version.is_some_and(|version| version >= 1_027_004) {
        println!("cargo::rustc-cfg=nginx_certificate_cache");
    }
    // Threads of the pool may still run the module's code when a worker process ends.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
