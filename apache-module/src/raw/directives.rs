// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of directives and what httpd calls for each.

use std::{
    ffi::{c_char, c_int, c_void},
    marker::PhantomData,
    ptr,
};

use gangway::engine::fence;

use super::{
    conf::{Choice, DirConf, ParamEntry, Section, Text},
    sys, text,
};
use crate::config;

/// A directive that is being read.
#[derive(Clone, Copy)]
pub(crate) struct Command<'c> {
    raw: *mut sys::cmd_parms,
    life: PhantomData<&'c ()>,
}

impl<'c> Command<'c> {
    /// Splits the rest of the line into words, by httpd's rules for quotes.
    fn words(self, arguments: *const c_char) -> Vec<&'c [u8]> {
        let mut rest = arguments;
        let mut words = Vec::new();
        // SAFETY: httpd gives a C string and a live pool for temporary things, which outlives the command;
        // ap_getword_conf moves `rest` along the string.
        unsafe {
            while *rest != 0 {
                words.push(text(sys::ap_getword_conf((*self.raw).temp_pool, &raw mut rest)));
            }
        }
        words
    }

    /// Where the directive stands, for messages.
    pub(crate) fn place(self) -> String {
        // SAFETY: httpd gives a live directive with each command.
        let (file, line) = unsafe {
            let directive = (*self.raw).directive;
            (text((*directive).filename), (*directive).line_num)
        };
        format!("line {line} of {}", String::from_utf8_lossy(file))
    }

    /// Whether the directive stands outside of virtual hosts and sections; else what httpd says to that.
    pub(crate) fn is_global(self) -> Result<(), String> {
        // SAFETY: a live command; the answer is NULL or a C string in its pool.
        let wrong = unsafe { text(sys::ap_check_cmd_context(self.raw, sys::GANGWAY_GLOBAL_ONLY)) };
        if wrong.is_empty() { Ok(()) } else { Err(String::from_utf8_lossy(wrong).into_owned()) }
    }

    /// The section that the directive stands in, and its path.
    fn section(self) -> (Section, Vec<u8>) {
        // SAFETY: httpd gives a live directive with each command; parents are live as well.
        unsafe {
            let own = (*self.raw).directive;
            let mut at = (*own).parent;
            while !at.is_null() {
                let (name, arguments) = (text((*at).directive), text((*at).args));
                if let Some((section, written)) = config::section(name, arguments) {
                    // httpd has made the path of a directory canonical, unless a section in it has its own.
                    let by_file = matches!(section, Section::Directory | Section::DirectoryPattern);
                    let canonical = by_file && at == (*own).parent && !(*self.raw).path.is_null();
                    let path = if canonical { text((*self.raw).path) } else { &written };
                    return (section, path.to_vec());
                }
                at = (*at).parent;
            }
        }
        (Section::Server, Vec::new())
    }

    /// Parses an expression of httpd's.
    fn expression(self, source: &[u8]) -> Result<*mut sys::ap_expr_info_t, String> {
        let mut error: *const c_char = ptr::null();
        // SAFETY: a live command; the expression must be a C string, which a copy in the pool is.
        let parsed = unsafe {
            let source = sys::apr_pstrmemdup((*self.raw).pool, source.as_ptr().cast(), source.len());
            let index = super::hooks::module_index();
            let flags = sys::AP_EXPR_FLAG_STRING_RESULT;
            sys::ap_expr_parse_cmd_mi(self.raw, source, flags, &raw mut error, None, index)
        };
        if error.is_null() {
            return Ok(parsed);
        }
        // SAFETY: a C string in the command's pool.
        let reason = String::from_utf8_lossy(unsafe { text(error) });
        Err(format!("has an expression that httpd does not understand: {reason}"))
    }

    /// httpd's form of a result: NULL or the reason.
    fn answer(self, directive: &str, result: Result<(), String>) -> *const c_char {
        let Err(reason) = result else { return ptr::null() };
        let line = format!("{directive}: {reason}");
        // SAFETY: a live command; the line is readable.
        unsafe { sys::apr_pstrmemdup((*self.raw).pool, line.as_ptr().cast(), line.len()) }
    }
}

/// Runs what a directive does, with the configuration of its section.
///
/// # Safety
/// As httpd calls a directive's function.
unsafe fn run(
    name: &'static str,
    raw: *mut sys::cmd_parms,
    conf: *mut c_void,
    arguments: *const c_char,
    body: impl FnOnce(Command<'_>, &mut DirConf, &[&[u8]]) -> Result<(), String>,
) -> *const c_char {
    fence(name, c"a programming error of mod_gangway; please report it".as_ptr(), || {
        let command = Command { raw, life: PhantomData };
        // SAFETY: `create` made the configuration; nobody else has it at this time.
        let conf = unsafe { &mut *conf.cast::<DirConf>() };
        command.answer(name, body(command, conf, &command.words(arguments)))
    })
}

unsafe extern "C" fn set_wsgi(
    raw: *mut sys::cmd_parms,
    conf: *mut c_void,
    words: *const c_char,
) -> *const c_char {
    // SAFETY: httpd calls this with a live command, the section's configuration and a C string.
    unsafe {
        run("GangwayWSGI", raw, conf, words, |command, conf, words| {
            if conf.choice() != Choice::Inherit {
                return Err("stands twice in this section; keep one".into());
            }
            let choice = config::wsgi(command, words)?;
            let (section, path) = command.section();
            conf.set(choice, section, Text::copy((*command.raw).pool, &path));
            Ok(())
        })
    }
}

unsafe extern "C" fn set_cgi(
    raw: *mut sys::cmd_parms,
    conf: *mut c_void,
    words: *const c_char,
) -> *const c_char {
    // SAFETY: as for set_wsgi.
    unsafe {
        run("GangwayCGI", raw, conf, words, |command, conf, words| {
            if conf.choice() != Choice::Inherit {
                return Err("this section has a handler already; keep one".into());
            }
            let choice = config::cgi(words)?;
            let (section, path) = command.section();
            conf.set(choice, section, Text::copy((*command.raw).pool, &path));
            Ok(())
        })
    }
}

unsafe extern "C" fn set_param(
    raw: *mut sys::cmd_parms,
    conf: *mut c_void,
    words: *const c_char,
) -> *const c_char {
    // SAFETY: as for set_wsgi.
    unsafe {
        run("GangwayParam", raw, conf, words, |command, conf, words| {
            let param = config::param(words)?;
            let pool = (*command.raw).pool;
            let expr = param.expr.map_or(Ok(ptr::null_mut()), |source| command.expression(source))?;
            let entry = ParamEntry {
                name: Text::copy(pool, param.name),
                value: Text::copy(pool, param.value),
                expr,
                if_not_empty: param.if_not_empty,
            };
            conf.add_params(pool, &[entry]);
            Ok(())
        })
    }
}

unsafe extern "C" fn set_engine_dir(
    raw: *mut sys::cmd_parms,
    conf: *mut c_void,
    words: *const c_char,
) -> *const c_char {
    // SAFETY: as for set_wsgi.
    unsafe {
        run("GangwayEngineDir", raw, conf, words, |command, _, words| config::engine_dir(command, words))
    }
}

/// The table, for `gangway_module`.
#[repr(transparent)]
pub(super) struct Table([sys::command_rec; 5]);

// SAFETY: httpd only reads it.
unsafe impl Sync for Table {}

type RawArgs = unsafe extern "C" fn(*mut sys::cmd_parms, *mut c_void, *const c_char) -> *const c_char;

const fn directive(
    name: &'static std::ffi::CStr,
    function: RawArgs,
    place: u32,
    help: &'static std::ffi::CStr,
) -> sys::command_rec {
    sys::command_rec {
        name: name.as_ptr(),
        func: sys::cmd_func { raw_args: Some(function) },
        cmd_data: ptr::null_mut(),
        req_override: place as c_int,
        args_how: sys::RAW_ARGS,
        errmsg: help.as_ptr(),
    }
}

const ANYWHERE: u32 = sys::ACCESS_CONF | sys::RSRC_CONF;

pub(super) static TABLE: Table = Table([
    directive(
        c"GangwayWSGI",
        set_wsgi,
        ANYWHERE,
        c"MODULE:CALLABLE or /path/file.py:CALLABLE [key=value ...], or Off",
    ),
    directive(c"GangwayCGI", set_cgi, ANYWHERE, c"On [key=value ...], or Off"),
    directive(
        c"GangwayParam",
        set_param,
        ANYWHERE,
        c"NAME VALUE [if_not_empty]; VALUE may be expr=EXPRESSION",
    ),
    directive(c"GangwayEngineDir", set_engine_dir, sys::RSRC_CONF, c"the directory of the engines"),
    sys::command_rec {
        name: ptr::null(),
        func: sys::cmd_func { raw_args: None },
        cmd_data: ptr::null_mut(),
        req_override: 0,
        args_how: sys::RAW_ARGS,
        errmsg: ptr::null(),
    },
]);
