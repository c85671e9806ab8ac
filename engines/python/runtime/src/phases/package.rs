// SPDX-License-Identifier: MIT OR Apache-2.0
//! The package `mod_python`, from this file and not from a folder: it is found whatever `sys.path` and the virtual environment
//! are, and it is the one that belongs to this engine.

use pyo3::{
    prelude::*,
    types::{PyDict, PyModule},
};

use super::{
    direct::{current, replace_current},
    servers::next_server,
    transaction::{Transaction, log_process},
};
use crate::{cold::Cold, interpreter::code};

/// Modules by name, without that of the package.
macro_rules! modules {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../modpython/mod_python/", $name, ".py")))),*]
    };
}

const MODULES: &[(&str, &str)] = modules![
    "Cookie",
    "Session",
    "__init__",
    "_apache",
    "_beside",
    "_connection",
    "_debugger",
    "_derived",
    "_dispatch",
    "_environ",
    "_failures",
    "_filter",
    "_filters",
    "_guards",
    "_importer",
    "_later",
    "_includes",
    "_locks",
    "_members",
    "_multipart",
    "_phases",
    "_process",
    "_psp_parser",
    "_query",
    "_request",
    "_server_facts",
    "_session",
    "_tables",
    "apache",
    "cache",
    "cgihandler",
    "httpdconf",
    "psp",
    "publisher",
    "testhandler",
    "util",
    "wsgi",
    "wsgiauth",
];

const FINDER: &std::ffi::CStr = code!("phases/finder.py");

/// Makes it importable.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    let server = PyModule::new(py, "mod_python._server")?;
    server.add_class::<Transaction>()?;
    server.add_function(wrap_pyfunction!(log_process, &server)?)?;
    server.add_function(wrap_pyfunction!(next_server, &server)?)?;
    server.add_function(wrap_pyfunction!(current, &server)?)?;
    server.add_function(wrap_pyfunction!(replace_current, &server)?)?;
    server.add("numbers", numbers(py)?)?;
    for name in ["lines", "one_line"] {
        server.add(name, Cold::get(py).function(py, name)?)?;
    }
    let sources = PyDict::new(py);
    for (name, source) in MODULES {
        sources.set_item(name, source)?;
    }
    let finder = PyModule::from_code(py, FINDER, c"<gangway>", c"_gangway_finder")?;
    finder.call_method1("install", (sources, server))?;
    Ok(())
}

/// The numbers of gangway.h by their names, so that they stand in the header alone.
fn numbers(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    macro_rules! named {
        ($($name:ident)*) => { [$((stringify!($name), i64::from(gangway_abi::ffi::$name))),*] };
    }
    let named = named![
        GW_PHASE_POST_READ_REQUEST GW_PHASE_INIT GW_PHASE_TRANS GW_PHASE_HEADER_PARSER GW_PHASE_ACCESS GW_PHASE_AUTHEN
        GW_PHASE_AUTHZ GW_PHASE_TYPE GW_PHASE_FIXUP GW_PHASE_CONTENT GW_PHASE_LOG GW_PHASE_CLEANUP
        GW_PHASE_INPUT_FILTER GW_PHASE_OUTPUT_FILTER GW_PHASE_CONNECTION
        GW_FACT_METHOD GW_FACT_URI GW_FACT_UNPARSED_URI GW_FACT_FILENAME GW_FACT_CANONICAL_FILENAME GW_FACT_PATH_INFO
        GW_FACT_ARGS GW_FACT_PROTOCOL GW_FACT_HOSTNAME GW_FACT_THE_REQUEST GW_FACT_CONTENT_TYPE GW_FACT_CONTENT_ENCODING
        GW_FACT_HANDLER GW_FACT_USER GW_FACT_AP_AUTH_TYPE GW_FACT_STATUS_LINE GW_FACT_RANGE GW_FACT_VLIST_VALIDATOR
        GW_FACT_USERAGENT_IP GW_FACT_AUTH_TYPE GW_FACT_AUTH_NAME GW_FACT_DOCUMENT_ROOT GW_FACT_REMOTE_IP GW_FACT_LOCAL_IP
        GW_FACT_REMOTE_HOST GW_FACT_SERVER_HOSTNAME GW_FACT_SERVER_ADMIN GW_FACT_ERROR_FNAME GW_FACT_LOCAL_HOST GW_FACT_REMOTE_LOGNAME
        GW_FACT_SERVER_PATH GW_FACT_DEFN_NAME GW_FACT_SERVER_ROOT
        GW_NUMBER_STATUS GW_NUMBER_METHOD_NUMBER GW_NUMBER_PROTO_NUM GW_NUMBER_ASSBACKWARDS GW_NUMBER_HEADER_ONLY
        GW_NUMBER_PROXYREQ GW_NUMBER_REQUEST_TIME GW_NUMBER_MTIME GW_NUMBER_NO_CACHE GW_NUMBER_NO_LOCAL_COPY
        GW_NUMBER_BYTES_SENT GW_NUMBER_CLENGTH GW_NUMBER_CHUNKED GW_NUMBER_ALLOWED GW_NUMBER_EOS_SENT
        GW_NUMBER_USED_PATH_INFO GW_NUMBER_SENT_BODYCT GW_NUMBER_CONNECTION_ID GW_NUMBER_REMOTE_PORT
        GW_NUMBER_LOCAL_PORT GW_NUMBER_ABORTED GW_NUMBER_KEEPALIVE GW_NUMBER_KEEPALIVES GW_NUMBER_DOUBLE_REVERSE
        GW_NUMBER_SERVER_PORT GW_NUMBER_TIMEOUT GW_NUMBER_KEEP_ALIVE_TIMEOUT GW_NUMBER_KEEP_ALIVE_MAX
        GW_NUMBER_KEEP_ALIVE GW_NUMBER_LOGLEVEL GW_NUMBER_IS_VIRTUAL GW_NUMBER_IS_HTTPS
        GW_NUMBER_DEFN_LINE_NUMBER GW_NUMBER_LIMIT_REQ_LINE GW_NUMBER_LIMIT_REQ_FIELDSIZE GW_NUMBER_LIMIT_REQ_FIELDS
        GW_NUMBER_REMAINING GW_NUMBER_READ_LENGTH GW_NUMBER_READ_BODY GW_NUMBER_READ_CHUNKED GW_NUMBER_EXPECTING_100 GW_NUMBER_GENERATION
        GW_NUMBER_RESTART_TIME
        GW_TABLE_HEADERS_IN GW_TABLE_HEADERS_OUT GW_TABLE_ERR_HEADERS_OUT GW_TABLE_SUBPROCESS_ENV GW_TABLE_NOTES
        GW_TABLE_CONNECTION_NOTES GW_TABLE_SERVER_NAMES GW_TABLE_SERVER_WILD_NAMES GW_TABLE_ALLOWED_XMETHODS
        GW_TABLE_CONTENT_LANGUAGES GW_TABLE_SERVER_ADDRS GW_TABLE_CONFIG_TREE GW_TABLE_SETTINGS GW_TABLE_OPTIONS
        GW_RELATED_MAIN GW_RELATED_PREV GW_RELATED_NEXT GW_RELATED_CONNECTION GW_LOOK_UP_SSL GW_LOOK_UP_DEFINE GW_LOOK_UP_MPM
        GW_CHANGE_SET GW_CHANGE_ADD GW_CHANGE_UNSET GW_CHANGE_CLEAR
    ];
    let numbers = PyDict::new(py);
    for (name, number) in named {
        numbers.set_item(name.trim_start_matches("GW_"), number)?;
    }
    Ok(numbers)
}
