// SPDX-License-Identifier: MIT OR Apache-2.0
//! include/gangway.h, seen from C, C++ and Rust: it compiles alone, and all three agree about every member.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    mem::offset_of,
    path::Path,
    process::{Command, Stdio},
};

use gangway_abi::ffi as abi;

/// Compiles `source` without writing anything.
fn compiles(compiler: &str, default: &str, arguments: &[&str], source: &str) {
    let mut compiler = Command::new(std::env::var(compiler).unwrap_or_else(|_| default.into()))
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-I"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"))
        .args(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    compiler.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let output = compiler.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Twice: the second inclusion is nothing.
const INCLUDES: &str = "#include <gangway.h>\n#include <gangway.h>\n";

#[test]
fn the_header_compiles_alone_as_c99() {
    let user = "int answer(const gw_host *host, gw_request *request);
        int answer(const gw_host *host, gw_request *request) { return host->finish(request, GW_ERROR) == GW_OK; }\n";
    compiles("CC", "cc", &["-std=c99", "-xc"], &format!("{INCLUDES}{user}"));
}

#[test]
fn the_header_compiles_alone_as_cpp17() {
    let user = "extern \"C\" const gw_engine *gw_engine_entry(const gw_host *) noexcept;
        static_assert(sizeof(gw_status) == 4, \"\");
        gw_engine_entry_fn entry = gw_engine_entry;\n";
    compiles("CXX", "c++", &["-std=c++17", "-xc++"], &format!("{INCLUDES}{user}"));
}

const LAYOUT: &str = include_str!("abi/layout.c");

#[test]
fn the_c_compiler_agrees_with_the_layout() {
    compiles("CC", "cc", &["-std=c11", "-xc"], LAYOUT);
}

/// The lines `WORD(a, b)` and `WORD(a, b, c)` of layout.c: the words before the number, joined by a dot.
fn claims(word: &str) -> BTreeMap<String, i64> {
    LAYOUT
        .lines()
        .filter_map(|line| line.strip_prefix(word)?.strip_prefix('(')?.strip_suffix(");"))
        .map(|inner| inner.rsplit_once(", ").unwrap())
        .map(|(names, number)| (names.replace(", ", "."), number.parse().unwrap()))
        .collect()
}

macro_rules! layout {
    ($($name:ident { $($member:ident)* })*) => {
        fn sizes() -> BTreeMap<String, i64> {
            [$((stringify!($name).to_owned(), size_of::<abi::$name>() as i64)),*].into()
        }
        fn offsets() -> BTreeMap<String, i64> {
            [$($((
                concat!(stringify!($name), ".", stringify!($member)).to_owned(),
                offset_of!(abi::$name, $member) as i64,
            )),*),*].into()
        }
        // A member that is missing above does not compile.
        #[expect(dead_code, reason = "compiled, not called")]
        fn members_are_complete() {
            $(let _ = |value: abi::$name| {
                let abi::$name { $($member: _),* } = value;
            };)*
        }
    };
}

layout! {
    gw_bytes { ptr len }
    gw_field { name value }
    gw_app_spec { struct_size name interface_name target options option_count threads flags place }
    gw_request_head { struct_size variables variable_count content_length flags reserved fields field_count local_port reserved2 }
    gw_option { struct_size name value flags least most default_text help }
    gw_interface { struct_size name target_form member target flags options option_count }
    gw_host {
        struct_size abi_major abi_minor read_body start write write_owned send_file flush finish cancelled log
        transactions sockets interim trailers gather condition
    }
    gw_sockets { struct_size accept receive send close descriptor read }
    gw_phase {
        struct_size phase reserved interpreter handlers handler_count settings setting_count options option_count state
        filter suffix
    }
    gw_transactions {
        struct_size text set_text number set_number table change_table read write send_file set_length meets_conditions redirect log
        add_handler await_cleanup related look_up filter_read filter_write filter_close filter_pass add_filter
        next_server
    }
    gw_engine {
        struct_size abi_major abi_minor name flags interfaces interface_count check load enter leave thread_end handle
        interrupt unload fork_prepare fork_parent fork_child run_phase forget ready
    }
}

#[test]
fn rust_agrees_with_the_layout() {
    assert_eq!(claims("SIZE"), sizes());
    assert_eq!(claims("MEMBER"), offsets());
}

#[test]
fn rust_agrees_with_the_values() {
    let values = [
        ("GW_ABI_MAJOR", i64::from(abi::GW_ABI_MAJOR)),
        ("GW_ABI_MINOR", i64::from(abi::GW_ABI_MINOR)),
        ("GW_OK", i64::from(abi::GW_OK)),
        ("GW_AGAIN", i64::from(abi::GW_AGAIN)),
        ("GW_CANCELLED", i64::from(abi::GW_CANCELLED)),
        ("GW_ERROR", i64::from(abi::GW_ERROR)),
        ("GW_INVALID", i64::from(abi::GW_INVALID)),
        ("GW_MISUSE", i64::from(abi::GW_MISUSE)),
        ("GW_APP_MULTIPROCESS", i64::from(abi::GW_APP_MULTIPROCESS)),
        ("GW_APP_TEMPLATE", i64::from(abi::GW_APP_TEMPLATE)),
        ("GW_REQUEST_NO_BODY", i64::from(abi::GW_REQUEST_NO_BODY)),
        ("GW_REQUEST_INTERIM", i64::from(abi::GW_REQUEST_INTERIM)),
        ("GW_REQUEST_TRAILERS", i64::from(abi::GW_REQUEST_TRAILERS)),
        ("GW_VALUE_TEXT", i64::from(abi::GW_VALUE_TEXT)),
        ("GW_VALUE_SWITCH", i64::from(abi::GW_VALUE_SWITCH)),
        ("GW_VALUE_NUMBER", i64::from(abi::GW_VALUE_NUMBER)),
        ("GW_VALUE_SIZE", i64::from(abi::GW_VALUE_SIZE)),
        ("GW_VALUE_TIME", i64::from(abi::GW_VALUE_TIME)),
        ("GW_VALUE_ASSIGNMENT", i64::from(abi::GW_VALUE_ASSIGNMENT)),
        ("GW_VALUE_FILE", i64::from(abi::GW_VALUE_FILE)),
        ("GW_VALUE_DIRECTORY", i64::from(abi::GW_VALUE_DIRECTORY)),
        ("GW_OPTION_REPEATS", i64::from(abi::GW_OPTION_REPEATS)),
        ("GW_TARGET_TEXT", i64::from(abi::GW_TARGET_TEXT)),
        ("GW_TARGET_MEMBER", i64::from(abi::GW_TARGET_MEMBER)),
        ("GW_NOWAIT", i64::from(abi::GW_NOWAIT)),
        ("GW_FLUSH", i64::from(abi::GW_FLUSH)),
        ("GW_LOG_ERROR", i64::from(abi::GW_LOG_ERROR)),
        ("GW_LOG_WARN", i64::from(abi::GW_LOG_WARN)),
        ("GW_LOG_NOTICE", i64::from(abi::GW_LOG_NOTICE)),
        ("GW_LOG_INFO", i64::from(abi::GW_LOG_INFO)),
        ("GW_LOG_DEBUG", i64::from(abi::GW_LOG_DEBUG)),
        ("GW_LOG_FURTHER", i64::from(abi::GW_LOG_FURTHER)),
        ("GW_ENGINE_ASYNC", i64::from(abi::GW_ENGINE_ASYNC)),
        ("GW_PHASE_POST_READ_REQUEST", i64::from(abi::GW_PHASE_POST_READ_REQUEST)),
        ("GW_PHASE_INIT", i64::from(abi::GW_PHASE_INIT)),
        ("GW_PHASE_TRANS", i64::from(abi::GW_PHASE_TRANS)),
        ("GW_PHASE_HEADER_PARSER", i64::from(abi::GW_PHASE_HEADER_PARSER)),
        ("GW_PHASE_ACCESS", i64::from(abi::GW_PHASE_ACCESS)),
        ("GW_PHASE_AUTHEN", i64::from(abi::GW_PHASE_AUTHEN)),
        ("GW_PHASE_AUTHZ", i64::from(abi::GW_PHASE_AUTHZ)),
        ("GW_PHASE_TYPE", i64::from(abi::GW_PHASE_TYPE)),
        ("GW_PHASE_FIXUP", i64::from(abi::GW_PHASE_FIXUP)),
        ("GW_PHASE_CONTENT", i64::from(abi::GW_PHASE_CONTENT)),
        ("GW_PHASE_LOG", i64::from(abi::GW_PHASE_LOG)),
        ("GW_PHASE_CLEANUP", i64::from(abi::GW_PHASE_CLEANUP)),
        ("GW_PHASE_INPUT_FILTER", i64::from(abi::GW_PHASE_INPUT_FILTER)),
        ("GW_PHASE_OUTPUT_FILTER", i64::from(abi::GW_PHASE_OUTPUT_FILTER)),
        ("GW_PHASE_CONNECTION", i64::from(abi::GW_PHASE_CONNECTION)),
        ("GW_PIECE_BYTES", i64::from(abi::GW_PIECE_BYTES)),
        ("GW_PIECE_NONE", i64::from(abi::GW_PIECE_NONE)),
        ("GW_PIECE_END", i64::from(abi::GW_PIECE_END)),
        ("GW_PASS_ALWAYS", i64::from(abi::GW_PASS_ALWAYS)),
        ("GW_ANSWER_OK", i64::from(abi::GW_ANSWER_OK)),
        ("GW_ANSWER_DECLINED", i64::from(abi::GW_ANSWER_DECLINED)),
        ("GW_ANSWER_DONE", i64::from(abi::GW_ANSWER_DONE)),
        ("GW_FACT_METHOD", i64::from(abi::GW_FACT_METHOD)),
        ("GW_FACT_URI", i64::from(abi::GW_FACT_URI)),
        ("GW_FACT_UNPARSED_URI", i64::from(abi::GW_FACT_UNPARSED_URI)),
        ("GW_FACT_FILENAME", i64::from(abi::GW_FACT_FILENAME)),
        ("GW_FACT_CANONICAL_FILENAME", i64::from(abi::GW_FACT_CANONICAL_FILENAME)),
        ("GW_FACT_PATH_INFO", i64::from(abi::GW_FACT_PATH_INFO)),
        ("GW_FACT_ARGS", i64::from(abi::GW_FACT_ARGS)),
        ("GW_FACT_PROTOCOL", i64::from(abi::GW_FACT_PROTOCOL)),
        ("GW_FACT_HOSTNAME", i64::from(abi::GW_FACT_HOSTNAME)),
        ("GW_FACT_THE_REQUEST", i64::from(abi::GW_FACT_THE_REQUEST)),
        ("GW_FACT_CONTENT_TYPE", i64::from(abi::GW_FACT_CONTENT_TYPE)),
        ("GW_FACT_CONTENT_ENCODING", i64::from(abi::GW_FACT_CONTENT_ENCODING)),
        ("GW_FACT_HANDLER", i64::from(abi::GW_FACT_HANDLER)),
        ("GW_FACT_USER", i64::from(abi::GW_FACT_USER)),
        ("GW_FACT_AP_AUTH_TYPE", i64::from(abi::GW_FACT_AP_AUTH_TYPE)),
        ("GW_FACT_STATUS_LINE", i64::from(abi::GW_FACT_STATUS_LINE)),
        ("GW_FACT_RANGE", i64::from(abi::GW_FACT_RANGE)),
        ("GW_FACT_VLIST_VALIDATOR", i64::from(abi::GW_FACT_VLIST_VALIDATOR)),
        ("GW_FACT_USERAGENT_IP", i64::from(abi::GW_FACT_USERAGENT_IP)),
        ("GW_FACT_AUTH_TYPE", i64::from(abi::GW_FACT_AUTH_TYPE)),
        ("GW_FACT_AUTH_NAME", i64::from(abi::GW_FACT_AUTH_NAME)),
        ("GW_FACT_DOCUMENT_ROOT", i64::from(abi::GW_FACT_DOCUMENT_ROOT)),
        ("GW_FACT_REMOTE_IP", i64::from(abi::GW_FACT_REMOTE_IP)),
        ("GW_FACT_LOCAL_IP", i64::from(abi::GW_FACT_LOCAL_IP)),
        ("GW_FACT_REMOTE_HOST", i64::from(abi::GW_FACT_REMOTE_HOST)),
        ("GW_FACT_SERVER_HOSTNAME", i64::from(abi::GW_FACT_SERVER_HOSTNAME)),
        ("GW_FACT_SERVER_ADMIN", i64::from(abi::GW_FACT_SERVER_ADMIN)),
        ("GW_FACT_ERROR_FNAME", i64::from(abi::GW_FACT_ERROR_FNAME)),
        ("GW_FACT_LOCAL_HOST", i64::from(abi::GW_FACT_LOCAL_HOST)),
        ("GW_FACT_REMOTE_LOGNAME", i64::from(abi::GW_FACT_REMOTE_LOGNAME)),
        ("GW_FACT_SERVER_PATH", i64::from(abi::GW_FACT_SERVER_PATH)),
        ("GW_FACT_DEFN_NAME", i64::from(abi::GW_FACT_DEFN_NAME)),
        ("GW_FACT_SERVER_ROOT", i64::from(abi::GW_FACT_SERVER_ROOT)),
        ("GW_NUMBER_STATUS", i64::from(abi::GW_NUMBER_STATUS)),
        ("GW_NUMBER_METHOD_NUMBER", i64::from(abi::GW_NUMBER_METHOD_NUMBER)),
        ("GW_NUMBER_PROTO_NUM", i64::from(abi::GW_NUMBER_PROTO_NUM)),
        ("GW_NUMBER_ASSBACKWARDS", i64::from(abi::GW_NUMBER_ASSBACKWARDS)),
        ("GW_NUMBER_HEADER_ONLY", i64::from(abi::GW_NUMBER_HEADER_ONLY)),
        ("GW_NUMBER_PROXYREQ", i64::from(abi::GW_NUMBER_PROXYREQ)),
        ("GW_NUMBER_REQUEST_TIME", i64::from(abi::GW_NUMBER_REQUEST_TIME)),
        ("GW_NUMBER_MTIME", i64::from(abi::GW_NUMBER_MTIME)),
        ("GW_NUMBER_NO_CACHE", i64::from(abi::GW_NUMBER_NO_CACHE)),
        ("GW_NUMBER_NO_LOCAL_COPY", i64::from(abi::GW_NUMBER_NO_LOCAL_COPY)),
        ("GW_NUMBER_BYTES_SENT", i64::from(abi::GW_NUMBER_BYTES_SENT)),
        ("GW_NUMBER_CLENGTH", i64::from(abi::GW_NUMBER_CLENGTH)),
        ("GW_NUMBER_CHUNKED", i64::from(abi::GW_NUMBER_CHUNKED)),
        ("GW_NUMBER_ALLOWED", i64::from(abi::GW_NUMBER_ALLOWED)),
        ("GW_NUMBER_EOS_SENT", i64::from(abi::GW_NUMBER_EOS_SENT)),
        ("GW_NUMBER_USED_PATH_INFO", i64::from(abi::GW_NUMBER_USED_PATH_INFO)),
        ("GW_NUMBER_SENT_BODYCT", i64::from(abi::GW_NUMBER_SENT_BODYCT)),
        ("GW_NUMBER_CONNECTION_ID", i64::from(abi::GW_NUMBER_CONNECTION_ID)),
        ("GW_NUMBER_REMOTE_PORT", i64::from(abi::GW_NUMBER_REMOTE_PORT)),
        ("GW_NUMBER_LOCAL_PORT", i64::from(abi::GW_NUMBER_LOCAL_PORT)),
        ("GW_NUMBER_ABORTED", i64::from(abi::GW_NUMBER_ABORTED)),
        ("GW_NUMBER_KEEPALIVE", i64::from(abi::GW_NUMBER_KEEPALIVE)),
        ("GW_NUMBER_KEEPALIVES", i64::from(abi::GW_NUMBER_KEEPALIVES)),
        ("GW_NUMBER_DOUBLE_REVERSE", i64::from(abi::GW_NUMBER_DOUBLE_REVERSE)),
        ("GW_NUMBER_SERVER_PORT", i64::from(abi::GW_NUMBER_SERVER_PORT)),
        ("GW_NUMBER_TIMEOUT", i64::from(abi::GW_NUMBER_TIMEOUT)),
        ("GW_NUMBER_KEEP_ALIVE_TIMEOUT", i64::from(abi::GW_NUMBER_KEEP_ALIVE_TIMEOUT)),
        ("GW_NUMBER_KEEP_ALIVE_MAX", i64::from(abi::GW_NUMBER_KEEP_ALIVE_MAX)),
        ("GW_NUMBER_KEEP_ALIVE", i64::from(abi::GW_NUMBER_KEEP_ALIVE)),
        ("GW_NUMBER_LOGLEVEL", i64::from(abi::GW_NUMBER_LOGLEVEL)),
        ("GW_NUMBER_IS_VIRTUAL", i64::from(abi::GW_NUMBER_IS_VIRTUAL)),
        ("GW_NUMBER_IS_HTTPS", i64::from(abi::GW_NUMBER_IS_HTTPS)),
        ("GW_NUMBER_DEFN_LINE_NUMBER", i64::from(abi::GW_NUMBER_DEFN_LINE_NUMBER)),
        ("GW_NUMBER_LIMIT_REQ_LINE", i64::from(abi::GW_NUMBER_LIMIT_REQ_LINE)),
        ("GW_NUMBER_LIMIT_REQ_FIELDSIZE", i64::from(abi::GW_NUMBER_LIMIT_REQ_FIELDSIZE)),
        ("GW_NUMBER_LIMIT_REQ_FIELDS", i64::from(abi::GW_NUMBER_LIMIT_REQ_FIELDS)),
        ("GW_NUMBER_REMAINING", i64::from(abi::GW_NUMBER_REMAINING)),
        ("GW_NUMBER_READ_LENGTH", i64::from(abi::GW_NUMBER_READ_LENGTH)),
        ("GW_NUMBER_READ_BODY", i64::from(abi::GW_NUMBER_READ_BODY)),
        ("GW_NUMBER_READ_CHUNKED", i64::from(abi::GW_NUMBER_READ_CHUNKED)),
        ("GW_NUMBER_EXPECTING_100", i64::from(abi::GW_NUMBER_EXPECTING_100)),
        ("GW_NUMBER_GENERATION", i64::from(abi::GW_NUMBER_GENERATION)),
        ("GW_NUMBER_RESTART_TIME", i64::from(abi::GW_NUMBER_RESTART_TIME)),
        ("GW_TABLE_HEADERS_IN", i64::from(abi::GW_TABLE_HEADERS_IN)),
        ("GW_TABLE_HEADERS_OUT", i64::from(abi::GW_TABLE_HEADERS_OUT)),
        ("GW_TABLE_ERR_HEADERS_OUT", i64::from(abi::GW_TABLE_ERR_HEADERS_OUT)),
        ("GW_TABLE_SUBPROCESS_ENV", i64::from(abi::GW_TABLE_SUBPROCESS_ENV)),
        ("GW_TABLE_NOTES", i64::from(abi::GW_TABLE_NOTES)),
        ("GW_TABLE_CONNECTION_NOTES", i64::from(abi::GW_TABLE_CONNECTION_NOTES)),
        ("GW_TABLE_SERVER_NAMES", i64::from(abi::GW_TABLE_SERVER_NAMES)),
        ("GW_TABLE_SERVER_WILD_NAMES", i64::from(abi::GW_TABLE_SERVER_WILD_NAMES)),
        ("GW_TABLE_ALLOWED_XMETHODS", i64::from(abi::GW_TABLE_ALLOWED_XMETHODS)),
        ("GW_TABLE_CONTENT_LANGUAGES", i64::from(abi::GW_TABLE_CONTENT_LANGUAGES)),
        ("GW_TABLE_SERVER_ADDRS", i64::from(abi::GW_TABLE_SERVER_ADDRS)),
        ("GW_TABLE_CONFIG_TREE", i64::from(abi::GW_TABLE_CONFIG_TREE)),
        ("GW_TABLE_SETTINGS", i64::from(abi::GW_TABLE_SETTINGS)),
        ("GW_TABLE_OPTIONS", i64::from(abi::GW_TABLE_OPTIONS)),
        ("GW_RELATED_MAIN", i64::from(abi::GW_RELATED_MAIN)),
        ("GW_RELATED_PREV", i64::from(abi::GW_RELATED_PREV)),
        ("GW_RELATED_NEXT", i64::from(abi::GW_RELATED_NEXT)),
        ("GW_RELATED_CONNECTION", i64::from(abi::GW_RELATED_CONNECTION)),
        ("GW_LOOK_UP_SSL", i64::from(abi::GW_LOOK_UP_SSL)),
        ("GW_LOOK_UP_DEFINE", i64::from(abi::GW_LOOK_UP_DEFINE)),
        ("GW_LOOK_UP_MPM", i64::from(abi::GW_LOOK_UP_MPM)),
        ("GW_CHANGE_SET", i64::from(abi::GW_CHANGE_SET)),
        ("GW_CHANGE_ADD", i64::from(abi::GW_CHANGE_ADD)),
        ("GW_CHANGE_UNSET", i64::from(abi::GW_CHANGE_UNSET)),
        ("GW_CHANGE_CLEAR", i64::from(abi::GW_CHANGE_CLEAR)),
        ("GW_INTERFACE_ASYNC", i64::from(abi::GW_INTERFACE_ASYNC)),
        ("GW_INTERFACE_WEBSOCKET", i64::from(abi::GW_INTERFACE_WEBSOCKET)),
        ("GW_REQUEST_WEBSOCKET", i64::from(abi::GW_REQUEST_WEBSOCKET)),
        ("GW_MESSAGE_TEXT", i64::from(abi::GW_MESSAGE_TEXT)),
        ("GW_MESSAGE_BINARY", i64::from(abi::GW_MESSAGE_BINARY)),
        ("GW_MESSAGE_CLOSED", i64::from(abi::GW_MESSAGE_CLOSED)),
        ("GW_INTERFACE_FIELDS", i64::from(abi::GW_INTERFACE_FIELDS)),
        ("GW_INTERFACE_FORGETS_HEAD", i64::from(abi::GW_INTERFACE_FORGETS_HEAD)),
        ("GW_READY_READ", i64::from(abi::GW_READY_READ)),
        ("GW_READY_ROOM", i64::from(abi::GW_READY_ROOM)),
        ("GW_READY_GONE", i64::from(abi::GW_READY_GONE)),
    ];
    let claimed = claims("VALUE");
    assert_eq!(claimed, values.map(|(name, value)| (name.to_owned(), value)).into());
    assert_eq!(abi::GW_ENGINE_ENTRY, c"gw_engine_entry");
    let header = include_str!("../include/gangway.h");
    let defined: BTreeSet<&str> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define ")?.split_once(' ').map(|(name, _)| name))
        .filter(|name| *name != "GW_ENGINE_ENTRY")
        .collect();
    assert_eq!(
        claimed.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        defined,
        "every constant is claimed"
    );
}
