// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the Rust types of httpd's, mod_proxy's and APR's headers.

use std::error::Error;

use gangway_apxs::{Names, generate};

const HEADER: &str = "src/raw/bindings.h";

const FUNCTIONS: &[&str] = &[
    "ap_add_(cgi|common)_vars",
    "ap_content_type_tolower",
    "ap_core_translate",
    "ap_die",
    "ap_directory_walk",
    "ap_expr_(exec_re|parse_cmd_mi|str_exec|str_exec_re)",
    "ap_get_(brigade|conn_socket|status_line|server_port)",
    "ap_getword_conf",
    "ap_hook_(child_init|fixups|post_config)",
    "ap_internal_redirect_handler",
    "ap_log_r?error_",
    "ap_map_http_request_error",
    "ap_meets_conditions",
    "ap_pass_brigade",
    "ap_proxy_(acquire|determine|release)_connection",
    "ap_proxy_(backend_broke|canon_netloc|canonenc_ex|connect_backend|port_of_scheme)",
    "ap_proxy_(cookie|location)_reverse_map",
    "ap_proxy_(prefetch|spool)_input",
    "ap_proxy_should_override",
    "ap_request_has_body",
    "ap_(destroy_sub_req|run_sub_req|sub_req_lookup_file)",
    "ap_scan_vchar_obstext",
    "ap_send_interim_response",
    "ap_set_(content_length|content_type|last_modified)",
    "ap_unescape_url(_keep2f)?",
    "ap_update_mtime",
    "apr_brigade_(cleanup|create|split_ex)",
    "apr_bucket_(delete|eos_create|flush_create|transient_create)",
    "apr_bucket_free",
    "apr_date_parse_http",
    "apr_optional_hook_add",
    "apr_os_sock_get",
    "apr_palloc",
    "apr_pool_userdata_(get|setn)",
    "apr_pstrmemdup",
    "apr_socket_timeout_get",
    "apr_table_(addn|clear|elts|get|merge|set|setn|unset)",
    "apr_time_now",
    "proxy_hook_(canon|scheme)_handler",
];

const TYPES: &[&str] = &[
    "ap_conn_keepalive_e",
    "apr_table_entry_t",
    "core_dir_config",
    "module",
    "proxy_(conn_rec|dir_conf|server_conf|worker)",
    "request_rec",
];

const VALUES: &[&str] = &[
    "ACCESS_CONF",
    "APLOG_(DEBUG|ERR|INFO|NOTICE|STARTUP|WARNING)",
    "APR_HOOK_(FIRST|MIDDLE|LAST)",
    "AP_(CGI_PASS_AUTH_OFF|EXPR_FLAG_STRING_RESULT|FILTER_ERROR|MAX_REG_MATCH)",
    "DECLINED",
    "DONE",
    "GANGWAY_.*",
    "HTTP_.*",
    "MODULE_MAGIC_.*",
    "M_GET",
    "OK",
    "OR_FILEINFO",
    "PROXYREQ_.*",
    "PROXY_CANONENC_NOENCODEDSLASHENCODING",
    "RSRC_CONF",
    "ap_server_conf",
    "apr_bucket_type_(eos|file|flush)",
    "core_module",
    "proxy_module",
];

fn main() -> Result<(), Box<dyn Error>> {
    generate(HEADER, Names { functions: FUNCTIONS, types: TYPES, values: VALUES })
}
