// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the Rust types of httpd's and APR's headers.

use std::error::Error;

use gangway_apxs::{Names, generate};

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
    generate(HEADER, Names { functions: FUNCTIONS, types: TYPES, values: VALUES })
}
