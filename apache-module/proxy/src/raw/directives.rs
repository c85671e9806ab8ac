// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of directives and what httpd calls for each.
//!
//! `ProxyFCGI…` and `ProxySCGI…` are also those of the stock modules. httpd gives a directive to every module that
//! knows it, so both have what it says when both are loaded.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
};

use gangway::engine::fence;

use super::{
    conf::{BackendType, DirConf, Param, Pass, Pooled, Pseudo, SetEnvIf, Text},
    hooks::module_index,
    sys, text,
};
use crate::words;

/// A directive that is being read.
struct Command(*mut sys::cmd_parms);

impl Command {
    fn pool(&self) -> *mut sys::apr_pool_t {
        // SAFETY: httpd gives a live pool of the configuration with each command.
        unsafe { (*self.0).pool }
    }

    /// Splits the rest of the line into words, by httpd's rules for quotes.
    fn words(&self, arguments: *const c_char) -> Vec<&[u8]> {
        let mut rest = arguments;
        let mut words = Vec::new();
        // SAFETY: httpd gives a C string and a live pool for temporary things, which outlives the command;
        // ap_getword_conf moves `rest` along the string.
        unsafe {
            while *rest != 0 {
                words.push(text(sys::ap_getword_conf((*self.0).temp_pool, &raw mut rest)));
            }
        }
        words
    }

    fn copy(&self, bytes: &[u8]) -> Text {
        // SAFETY: the pool of the configuration.
        unsafe { Text::copy(self.pool(), bytes) }
    }

    /// The path of the section; empty outside of one.
    fn path(&self) -> &[u8] {
        // SAFETY: NULL or a C string that lives as long as the command.
        unsafe { text((*self.0).path) }
    }

    fn is_location(&self) -> bool {
        // SAFETY: httpd gives a live directive with each command; parents are live as well.
        unsafe {
            let parent = (*(*self.0).directive).parent;
            !parent.is_null() && text((*parent).directive).eq_ignore_ascii_case(b"<Location")
        }
    }

    /// Parses an expression of httpd's.
    fn expression(&self, source: &[u8], flags: u32) -> Result<*mut sys::ap_expr_info_t, String> {
        let mut error: *const c_char = ptr::null();
        // SAFETY: a live command; the source is a C string in the configuration's pool.
        let parsed = unsafe {
            let source = self.copy(source).as_c_str().as_ptr();
            sys::ap_expr_parse_cmd_mi(self.0, source, flags, &raw mut error, None, module_index())
        };
        if error.is_null() {
            return Ok(parsed);
        }
        // SAFETY: a C string in the command's pool.
        let reason = String::from_utf8_lossy(unsafe { text(error) });
        let source = String::from_utf8_lossy(source);
        Err(format!("has an expression \"{source}\" that httpd does not understand: {reason}"))
    }

    /// httpd's form of a result: NULL or the reason.
    fn answer(&self, name: &str, result: Result<(), String>) -> *const c_char {
        let Err(reason) = result else { return ptr::null() };
        self.copy(format!("{name} {reason}").as_bytes()).as_c_str().as_ptr()
    }
}

/// What a directive does with its words.
type Setter = fn(&Command, &mut DirConf, &[&[u8]]) -> Result<(), String>;

/// Runs what a directive does, with the configuration of its section.
///
/// # Safety
/// As httpd calls a directive's function.
unsafe fn run(
    name: &'static str,
    raw: *mut sys::cmd_parms,
    conf: *mut c_void,
    arguments: *const c_char,
    body: Setter,
) -> *const c_char {
    fence(name, c"a programming error of mod_proxy_gangway; please report it".as_ptr(), || {
        let command = Command(raw);
        // SAFETY: `create` made the configuration; nobody else has it at this time.
        let conf = unsafe { &mut *conf.cast::<DirConf>() };
        command.answer(name, body(&command, conf, &command.words(arguments)))
    })
}

/// The one word of a directive.
fn one<'w>(words: &[&'w [u8]]) -> Result<&'w [u8], String> {
    match words {
        [word] => Ok(word),
        _ => Err("takes one word".into()),
    }
}

fn pass(command: &Command, conf: &mut DirConf, words: &[&[u8]]) -> Result<(), String> {
    let word = one(words)?;
    conf.pass = Some(if word.eq_ignore_ascii_case(b"off") {
        Pass::Off
    } else {
        let url = command.copy(&words::address(word)?);
        let mount = if command.is_location() { command.path() } else { b"" };
        Pass::To { url, mount: command.copy(mount.strip_suffix(b"/").unwrap_or(mount)) }
    });
    Ok(())
}

fn script_suffixes(command: &Command, conf: &mut DirConf, words: &[&[u8]]) -> Result<(), String> {
    if words.is_empty() {
        return Err("takes at least one suffix".into());
    }
    let copy = |word: &&[u8]| words::suffix(word).map(|suffix| command.copy(suffix));
    let suffixes: Vec<Text> = words.iter().map(copy).collect::<Result<_, _>>()?;
    // SAFETY: the pool of the configuration.
    conf.script_suffixes = Some(unsafe { Pooled::copy(command.pool(), &suffixes) });
    Ok(())
}

fn backend_type(_: &Command, conf: &mut DirConf, words: &[&[u8]]) -> Result<(), String> {
    conf.backend_type = match one(words)?.to_ascii_lowercase().as_slice() {
        b"generic" => BackendType::Generic,
        b"fpm" => BackendType::Fpm,
        _ => return Err("requires one of the following arguments: 'GENERIC', 'FPM'".into()),
    };
    Ok(())
}

fn set_env_if(command: &Command, conf: &mut DirConf, words: &[&[u8]]) -> Result<(), String> {
    let (condition, variable, value) = match *words {
        [condition, variable] => (condition, variable, None),
        [condition, variable, value] => (condition, variable, Some(value)),
        _ => return Err("takes two or three arguments: condition, variable, value".into()),
    };
    let condition = command.expression(condition, 0)?;
    let (name, value) = match variable.strip_prefix(b"!") {
        Some(b"") => return Err("\"!\" is not a valid variable name".into()),
        Some(_) if value.is_some() => return Err("takes no third argument with !variable".into()),
        Some(name) => (name, ptr::null_mut()),
        None => {
            let source = value.unwrap_or_default();
            (variable, command.expression(source, sys::AP_EXPR_FLAG_STRING_RESULT)?)
        }
    };
    let mut all = conf.set_env_if.as_slice().to_vec();
    all.push(SetEnvIf { condition, value, name: command.copy(name) });
    // SAFETY: the pool of the configuration.
    conf.set_env_if = unsafe { Pooled::copy(command.pool(), &all) };
    Ok(())
}

fn param(command: &Command, conf: &mut DirConf, words: &[&[u8]]) -> Result<(), String> {
    let words = words::param(words)?;
    let flags = sys::AP_EXPR_FLAG_STRING_RESULT;
    let param = Param {
        name: command.copy(words.name),
        value: command.copy(words.value),
        expr: words.expr.map_or(Ok(ptr::null_mut()), |source| command.expression(source, flags))?,
        if_not_empty: words.if_not_empty,
    };
    // SAFETY: the pool of the configuration.
    conf.params = unsafe { conf.with_params(command.pool(), &[param]) };
    Ok(())
}

fn pseudo(command: &Command, words: &[&[u8]]) -> Result<Pseudo, String> {
    let word = one(words)?;
    Ok(match word.to_ascii_lowercase().as_slice() {
        b"off" => Pseudo::Off,
        b"on" => Pseudo::On,
        _ => Pseudo::Named(command.copy(word)),
    })
}

/// Functions that httpd calls, each for the directive of the same line.
macro_rules! directives {
    ($($function:ident, $name:literal, $places:expr, $help:literal, $body:expr;)*) => {
        $(unsafe extern "C" fn $function(
            raw: *mut sys::cmd_parms,
            conf: *mut c_void,
            words: *const c_char,
        ) -> *const c_char {
            // SAFETY: httpd calls this with a live command, the section's configuration and a C string.
            unsafe { run($name, raw, conf, words, $body) }
        })*

        /// The table, for the module.
        pub(super) static TABLE: Table<{ [$($name),*].len() + 1 }> = Table([
            $(directive(c_string(concat!($name, "\0")), $function, $places, c_string(concat!($help, "\0"))),)*
            sys::command_rec {
                name: ptr::null(),
                func: sys::cmd_func { raw_args: None },
                cmd_data: ptr::null_mut(),
                req_override: 0,
                args_how: sys::RAW_ARGS,
                errmsg: ptr::null(),
            },
        ]);
    };
}

const ANYWHERE: u32 = sys::ACCESS_CONF | sys::RSRC_CONF;
/// The largest head that GangwayHeadMaxSize allows.
const HEAD_LIMIT: usize = 1024 * 1024;

directives! {
    set_pass, "GangwayPass", sys::ACCESS_CONF,
        "fastcgi://, scgi:// or uwsgi:// with host:port or unix:/path, or Off",
        pass;
    set_param, "GangwayParam", ANYWHERE, "NAME VALUE [if_not_empty]; VALUE may be expr=EXPRESSION",
        param;
    set_script_check, "GangwayScriptCheck", ANYWHERE, "On or Off",
        |_, conf, words| { conf.script_check = Some(words::switch(one(words)?)?); Ok(()) };
    set_script_suffixes, "GangwayScriptSuffixes", ANYWHERE, "suffixes of scripts, without the dot",
        script_suffixes;
    set_stderr_level, "GangwayStderrLevel", ANYWHERE, "error, warn, notice, info or debug",
        |_, conf, words| { conf.stderr_level = Some(words::level(one(words)?)?); Ok(()) };
    set_head_max_size, "GangwayHeadMaxSize", ANYWHERE, "a size such as 64k",
        |_, conf, words| { conf.head_max = Some(words::size(one(words)?, 1024, HEAD_LIMIT)?); Ok(()) };
    set_flush_wait, "GangwayFlushWait", ANYWHERE, "a time such as 5ms; 0 to never wait",
        |_, conf, words| { conf.flush_wait = Some(words::milliseconds(one(words)?, 10_000)?); Ok(()) };
    set_keep_conn, "GangwayKeepConn", ANYWHERE, "On or Off",
        |_, conf, words| { conf.keep_conn = Some(words::switch(one(words)?)?); Ok(()) };
    set_backend_type, "ProxyFCGIBackendType", sys::OR_FILEINFO,
        "Specify the type of FastCGI server: 'Generic', 'FPM'",
        backend_type;
    set_set_env_if, "ProxyFCGISetEnvIf", sys::OR_FILEINFO, "expr-condition env-name expr-value",
        set_env_if;
    set_scgi_sendfile, "ProxySCGISendfile", ANYWHERE,
        "The name of the X-Sendfile pseudo response header or On or Off",
        |command, conf, words| { conf.scgi_sendfile = pseudo(command, words)?; Ok(()) };
    set_scgi_redirect, "ProxySCGIInternalRedirect", ANYWHERE,
        "The name of the pseudo response header or On or Off",
        |command, conf, words| { conf.scgi_redirect = pseudo(command, words)?; Ok(()) };
}

/// The table of directives.
#[repr(transparent)]
pub(super) struct Table<const N: usize>([sys::command_rec; N]);

// SAFETY: httpd only reads it.
unsafe impl<const N: usize> Sync for Table<N> {}

type RawArgs = unsafe extern "C" fn(*mut sys::cmd_parms, *mut c_void, *const c_char) -> *const c_char;

const fn c_string(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    }
}

const fn directive(
    name: &'static CStr,
    function: RawArgs,
    places: u32,
    help: &'static CStr,
) -> sys::command_rec {
    sys::command_rec {
        name: name.as_ptr(),
        func: sys::cmd_func { raw_args: Some(function) },
        cmd_data: ptr::null_mut(),
        req_override: places as c_int,
        args_how: sys::RAW_ARGS,
        errmsg: help.as_ptr(),
    }
}
