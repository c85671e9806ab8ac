// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of directives, and what each does.

use gangway_httpd::{directive::Command, directives, param, sys};

use crate::{
    config,
    raw::{Choice, DirConf, Gangway},
    section,
};

const ANYWHERE: u32 = sys::ACCESS_CONF | sys::RSRC_CONF;

directives! {
    Gangway, ": ";
    set_wsgi, "GangwayWSGI", ANYWHERE,
        "MODULE:CALLABLE or /path/file.py:CALLABLE [key=value ...], or Off",
        |command, conf, words| choose(command, conf, config::wsgi(command, words));
    set_native, "GangwayNative", ANYWHERE, "/path/handler.so[:NAME] [key=value ...], or Off",
        |command, conf, words| choose(command, conf, config::native(command, words));
    set_spawn, "GangwaySpawn", ANYWHERE, "/path/program [ARGUMENT ...] [key=value ...], or Off",
        |command, conf, words| choose(command, conf, config::spawn(command, words));
    set_cgi, "GangwayCGI", ANYWHERE, "On [key=value ...], or Off",
        |command, conf, words| choose(command, conf, config::cgi(command, words));
    set_param, "GangwayParam", ANYWHERE, "NAME VALUE [if_not_empty]; VALUE may be expr=EXPRESSION",
        |command, conf, words| { conf.add_param(param::read(command, words)?, command.pool()); Ok(()) };
    set_engine_dir, "GangwayEngineDir", sys::RSRC_CONF, "the directory of the engines",
        |command, _, words| config::engine_dir(command, words);
}

/// Notes what serves the section.
fn choose<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    choice: Result<Choice, String>,
) -> Result<(), String> {
    if conf.choice() != Choice::Inherit {
        return Err("this section has a handler already; keep one".into());
    }
    let (section, path) = section::of(command);
    conf.set(choice?, section, command.pool().copy(&path));
    Ok(())
}
