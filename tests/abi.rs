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
    gw_app_spec { struct_size name interface_name target options option_count threads flags }
    gw_request_head { struct_size variables variable_count content_length flags reserved }
    gw_option { struct_size name value flags least most default_text help }
    gw_interface { struct_size name target_form member target reserved options option_count }
    gw_host {
        struct_size abi_major abi_minor read_body start write write_owned send_file flush finish cancelled log
    }
    gw_engine {
        struct_size abi_major abi_minor name flags interfaces interface_count check load enter leave thread_end handle
        interrupt unload fork_prepare fork_parent fork_child
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
