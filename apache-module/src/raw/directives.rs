// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of directives and what httpd calls for each.

use std::ffi::{c_char, c_void};

use gangway::engine::fence;
use gangway_httpd::{
    directive::{self, END, Table, directive as line},
    param,
};

use super::{
    conf::{Choice, DirConf, Section},
    hooks::module_index,
    sys, text,
};
use crate::config;

/// A directive that is being read.
#[derive(Clone, Copy)]
pub(crate) struct Command<'c>(directive::Command<'c>);

impl Command<'_> {
    /// Where the directive stands, for messages.
    pub(crate) fn place(self) -> String {
        // SAFETY: httpd gives a live directive with each command.
        let (file, line) = unsafe {
            let directive = (*self.0.as_ptr()).directive;
            (text((*directive).filename), (*directive).line_num)
        };
        format!("line {line} of {}", String::from_utf8_lossy(file))
    }

    /// Whether the directive stands outside of virtual hosts and sections; else what httpd says to that.
    pub(crate) fn is_global(self) -> Result<(), String> {
        // SAFETY: a live command; the answer is NULL or a C string in its pool.
        let wrong = unsafe { text(sys::ap_check_cmd_context(self.0.as_ptr(), sys::GANGWAY_GLOBAL_ONLY)) };
        if wrong.is_empty() { Ok(()) } else { Err(String::from_utf8_lossy(wrong).into_owned()) }
    }

    /// The section that the directive stands in, and its path.
    fn section(self) -> (Section, Vec<u8>) {
        // SAFETY: httpd gives a live directive with each command; parents are live as well.
        unsafe {
            let own = (*self.0.as_ptr()).directive;
            let mut at = (*own).parent;
            while !at.is_null() {
                let (name, arguments) = (text((*at).directive), text((*at).args));
                if let Some((section, written)) = config::section(name, arguments) {
                    // httpd has made the path of a directory canonical, unless a section in it has its own.
                    let by_file = matches!(section, Section::Directory | Section::DirectoryPattern);
                    let canonical = by_file && at == (*own).parent && !(*self.0.as_ptr()).path.is_null();
                    let path = if canonical { text((*self.0.as_ptr()).path) } else { &written };
                    return (section, path.to_vec());
                }
                at = (*at).parent;
            }
        }
        (Section::Server, Vec::new())
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
        // SAFETY: what httpd has called the directive's function with; `create` made the configuration, and nobody else has
        // it at this time.
        let (command, conf, words) = unsafe {
            let command = directive::Command::from_raw(raw, module_index());
            (command, &mut *conf.cast::<DirConf>(), command.words(arguments))
        };
        command.answer(body(Command(command), conf, &words).map_err(|reason| format!("{name}: {reason}")))
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
            conf.set(choice, section, command.0.copy(&path));
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
            conf.set(choice, section, command.0.copy(&path));
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
            let param = param::read(&command.0, words)?;
            conf.add_params(command.0.pool(), &[param]);
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

pub(super) static TABLE: Table<5> = Table([
    line(
        c"GangwayWSGI",
        set_wsgi,
        ANYWHERE,
        c"MODULE:CALLABLE or /path/file.py:CALLABLE [key=value ...], or Off",
    ),
    line(c"GangwayCGI", set_cgi, ANYWHERE, c"On [key=value ...], or Off"),
    line(c"GangwayParam", set_param, ANYWHERE, c"NAME VALUE [if_not_empty]; VALUE may be expr=EXPRESSION"),
    line(c"GangwayEngineDir", set_engine_dir, sys::RSRC_CONF, c"the directory of the engines"),
    END,
]);
