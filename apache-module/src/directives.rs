// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of directives and what httpd calls for each.

#![expect(unsafe_code, reason = "what httpd calls")]

use std::ffi::{c_char, c_void};

use gangway::engine::fence;
use gangway_httpd::{
    directive::{END, Table, directive as line},
    param, sys,
};

use crate::{
    config,
    raw::{Choice, Command, DirConf},
};

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
        // SAFETY: what httpd has called the directive's function with; `create` made the configuration, and nobody else has
        // it at this time.
        let (command, conf, words) = unsafe {
            let command = Command::from_raw(raw);
            (command, &mut *conf.cast::<DirConf>(), command.words(arguments))
        };
        command.answer(body(command, conf, &words).map_err(|reason| format!("{name}: {reason}")))
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
            set_application(command, conf, config::wsgi(command, words))
        })
    }
}

unsafe extern "C" fn set_native(
    raw: *mut sys::cmd_parms,
    conf: *mut c_void,
    words: *const c_char,
) -> *const c_char {
    // SAFETY: httpd calls this with a live command, the section's configuration and a C string.
    unsafe {
        run("GangwayNative", raw, conf, words, |command, conf, words| {
            set_application(command, conf, config::native(command, words))
        })
    }
}

/// Gives a section an application that runs in this process.
fn set_application(
    command: Command<'_>,
    conf: &mut DirConf,
    choice: Result<Choice, String>,
) -> Result<(), String> {
    if conf.choice() != Choice::Inherit {
        return Err("this section has a handler already; keep one".into());
    }
    let (section, path) = command.section();
    conf.set(choice?, section, command.copy(&path));
    Ok(())
}

unsafe extern "C" fn set_cgi(
    raw: *mut sys::cmd_parms,
    conf: *mut c_void,
    words: *const c_char,
) -> *const c_char {
    // SAFETY: as for set_wsgi.
    unsafe {
        run("GangwayCGI", raw, conf, words, |command, conf, words| {
            set_application(command, conf, config::cgi(words))
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
            let param = param::read(&command, words)?;
            conf.add_params(command.pool(), &[param]);
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

const ANYWHERE: u32 = sys::ACCESS_CONF | sys::RSRC_CONF;

pub(crate) static TABLE: Table<6> = Table([
    line(
        c"GangwayWSGI",
        set_wsgi,
        ANYWHERE,
        c"MODULE:CALLABLE or /path/file.py:CALLABLE [key=value ...], or Off",
    ),
    line(c"GangwayNative", set_native, ANYWHERE, c"/path/handler.so[:NAME] [key=value ...], or Off"),
    line(c"GangwayCGI", set_cgi, ANYWHERE, c"On [key=value ...], or Off"),
    line(c"GangwayParam", set_param, ANYWHERE, c"NAME VALUE [if_not_empty]; VALUE may be expr=EXPRESSION"),
    line(c"GangwayEngineDir", set_engine_dir, sys::RSRC_CONF, c"the directory of the engines"),
    END,
]);
