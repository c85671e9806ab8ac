// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the Rust types of httpd's and APR's headers. The environment variable APXS chooses another httpd.

use std::{env, error::Error, path::PathBuf, process::Command};

const HEADER: &str = "src/raw/bindings.h";

const FUNCTIONS: &[&str] = &[
    "ap_allow_options",
    "ap_check_cmd_context",
    "ap_context_document_root",
    "ap_bucket_error_create",
    "ap_document_root",
    "ap_exists_config_define",
    "ap_expr_parse_cmd_mi",
    "ap_expr_str_exec",
    "ap_get_brigade",
    "ap_get_conn_socket",
    "ap_get_limit_req_body",
    "ap_get_server_banner",
    "ap_get_server_name_for_url",
    "ap_get_server_port",
    "ap_get_status_line",
    "ap_get_useragent_host",
    "ap_getword_conf",
    "ap_hook_(check_config|child_init|fixups|handler|map_to_storage|post_config|pre_config|translate_name)",
    "ap_internal_redirect_handler",
    "ap_location_walk",
    "ap_log_r?error_",
    "ap_map_http_request_error",
    "ap_meets_conditions",
    "ap_mpm_query",
    "ap_pass_brigade",
    "ap_run_http_scheme",
    "ap_send_interim_response",
    "ap_set_content_(length|type)",
    "ap_state_query",
    "ap_update_mtime",
    "apr_date_parse_http",
    "apr_brigade_(cleanup|create|destroy|flatten|insert_file)",
    "apr_bucket_(alloc|eos_create|flush_create|free|setaside_noop)",
    "apr_bucket_shared_(copy|destroy|make|split)",
    "apr_dynamic_fn_retrieve",
    "apr_os_(file_put|sock_get)",
    "apr_palloc",
    "apr_pool_cleanup_(null|register)",
    "apr_pstrmemdup",
    "apr_table_(addn|elts|get|setn|unset)",
    "apr_thread_pool_get",
];

const TYPES: &[&str] = &[
    "ap_conn_keepalive_e",
    "apr_bucket_refcount",
    "apr_table_entry_t",
    "core_dir_config",
    "module",
    "request_rec",
];

const VALUES: &[&str] = &[
    "ACCESS_CONF",
    "AP_CGI_PASS_AUTH_ON",
    "AP_FILTER_ERROR",
    "AP_SQ_(MAIN_STATE|MS_CREATE_PRE_CONFIG)",
    "AP_EXPR_FLAG_STRING_RESULT",
    "AP_MPMQ_(IS_THREADED|MAX_THREADS)",
    "APLOG_(DEBUG|ERR|INFO|NOTICE|STARTUP|WARNING)",
    "APR_(FOPEN_SENDFILE_ENABLED|HOOK_LAST|HOOK_MIDDLE)",
    "DECLINED",
    "ENABLE_SENDFILE_ON",
    "GANGWAY_.*",
    "HTTP_.*",
    "MODULE_MAGIC_.*",
    "OK",
    "OPT_EXECCGI",
    "M_GET",
    "REMOTE_HOST",
    "RSRC_CONF",
    "ap_server_(conf|root)",
    "apr_bucket_type_eos",
    "core_module",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=APXS");
    println!("cargo:rerun-if-changed={HEADER}");
    let mut builder = bindgen::Builder::default()
        .header(HEADER)
        .clang_args(include_flags()?)
        .use_core()
        .generate_comments(false)
        .layout_tests(true)
        .prepend_enum_name(false)
        .rust_edition(bindgen::RustEdition::Edition2024);
    builder = FUNCTIONS.iter().fold(builder, |builder, name| builder.allowlist_function(name));
    builder = TYPES.iter().fold(builder, |builder, name| builder.allowlist_type(name));
    builder = VALUES.iter().fold(builder, |builder, name| builder.allowlist_var(name));
    builder.generate()?.write_to_file(PathBuf::from(env::var("OUT_DIR")?).join("httpd.rs"))?;

    // httpd unloads and loads its modules again while it starts; threads of an engine may run code of ours for
    // as long as the process lives.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // The unit tests are an executable without httpd, and touch nothing of it.
    println!("cargo:rustc-link-arg=-Wl,--unresolved-symbols=ignore-all");
    Ok(())
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
