// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of directives and what httpd calls for each.
//!
//! `ProxyFCGI…` and `ProxySCGI…` are also those of the stock modules. httpd gives a directive to every module that
//! knows it, so both have what it says when both are loaded.

use gangway_httpd::{directive::Command, directives, param, sys};

use crate::{
    raw::{Backend, BackendType, DirConf, Pass, ProxyGangway, Pseudo, SetEnvIf, note_backend},
    values,
};

fn is_location(command: &Command<'_>) -> bool {
    command.sections().next().is_some_and(|section| section.name.eq_ignore_ascii_case(b"<Location"))
}

/// The one word of a directive.
fn one<'w>(words: &[&'w [u8]]) -> Result<&'w [u8], String> {
    match words {
        [word] => Ok(word),
        _ => Err("takes one word".into()),
    }
}

fn pass<'c>(command: &Command<'c>, conf: &mut DirConf<'c>, words: &[&[u8]]) -> Result<(), String> {
    let word = one(words)?;
    conf.pass = Some(if word.eq_ignore_ascii_case(b"off") {
        Pass::Off
    } else {
        let (url, kind) = values::address(word)?;
        let url = command.pool().copy(&url);
        note_backend(command, url);
        let origin = url.rsplit(|byte| *byte == b'|').next().unwrap_or(url);
        let mount = if is_location(command) { command.path() } else { b"" };
        let mount = command.pool().copy(mount.strip_suffix(b"/").unwrap_or(mount));
        Pass::To(Backend { url, origin, mount, kind })
    });
    Ok(())
}

fn script_suffixes<'c>(command: &Command<'c>, conf: &mut DirConf<'c>, words: &[&[u8]]) -> Result<(), String> {
    if words.is_empty() {
        return Err("takes at least one suffix".into());
    }
    let pool = command.pool();
    let copy = |word: &&[u8]| values::suffix(word).map(|suffix| pool.copy(suffix));
    let suffixes: Vec<&'c [u8]> = words.iter().map(copy).collect::<Result<_, _>>()?;
    conf.script_suffixes = Some(pool.copy(&suffixes));
    Ok(())
}

fn backend_type(_: &Command<'_>, conf: &mut DirConf<'_>, words: &[&[u8]]) -> Result<(), String> {
    conf.backend_type = match one(words)?.to_ascii_lowercase().as_slice() {
        b"generic" => BackendType::Generic,
        b"fpm" => BackendType::Fpm,
        _ => return Err("requires one of the following arguments: 'GENERIC', 'FPM'".into()),
    };
    Ok(())
}

fn set_env_if<'c>(command: &Command<'c>, conf: &mut DirConf<'c>, words: &[&[u8]]) -> Result<(), String> {
    let (condition, variable, value) = match *words {
        [condition, variable] => (condition, variable, None),
        [condition, variable, value] => (condition, variable, Some(value)),
        _ => return Err("takes two or three arguments: condition, variable, value".into()),
    };
    let condition = command.expression(condition, 0)?;
    let (name, value) = match variable.strip_prefix(b"!") {
        Some(b"") => return Err("\"!\" is not a valid variable name".into()),
        Some(_) if value.is_some() => return Err("takes no third argument with !variable".into()),
        Some(name) => (name, None),
        None => {
            let source = value.unwrap_or_default();
            (variable, Some(command.expression(source, sys::AP_EXPR_FLAG_STRING_RESULT)?))
        }
    };
    let (pool, more) = (command.pool(), SetEnvIf { condition, value, name: command.pool().text(name) });
    conf.set_env_if = pool.copy(&[conf.set_env_if, &[more]].concat());
    Ok(())
}

fn pseudo<'c>(command: &Command<'c>, words: &[&[u8]]) -> Result<Pseudo<'c>, String> {
    let word = one(words)?;
    Ok(match word.to_ascii_lowercase().as_slice() {
        b"off" => Pseudo::Off,
        b"on" => Pseudo::On,
        _ => Pseudo::Named(command.pool().text(word)),
    })
}

const ANYWHERE: u32 = sys::ACCESS_CONF | sys::RSRC_CONF;
/// The largest head that GangwayHeadMaxSize allows.
const HEAD_LIMIT: usize = 1024 * 1024;

directives! {
    ProxyGangway, " ";
    set_pass, "GangwayPass", sys::ACCESS_CONF,
        "fastcgi://, scgi:// or uwsgi:// with host:port or unix:/path, or Off",
        pass;
    set_param, "GangwayParam", ANYWHERE, "NAME VALUE [if_not_empty]; VALUE may be expr=EXPRESSION",
        |command, conf, words| { conf.add_param(param::read(command, words)?, command.pool()); Ok(()) };
    set_script_check, "GangwayScriptCheck", ANYWHERE, "On or Off",
        |_, conf, words| { conf.script_check = Some(values::switch(one(words)?)?); Ok(()) };
    set_script_suffixes, "GangwayScriptSuffixes", ANYWHERE, "suffixes of scripts, without the dot",
        script_suffixes;
    set_stderr_level, "GangwayStderrLevel", ANYWHERE, "error, warn, notice, info or debug",
        |_, conf, words| { conf.stderr_level = Some(values::level(one(words)?)?); Ok(()) };
    set_head_max_size, "GangwayHeadMaxSize", ANYWHERE, "a size such as 64k",
        |_, conf, words| { conf.head_max = Some(values::size(one(words)?, 1024, HEAD_LIMIT)?); Ok(()) };
    set_flush_wait, "GangwayFlushWait", ANYWHERE, "a time such as 5ms; 0 to never wait",
        |_, conf, words| { conf.flush_wait = Some(values::milliseconds(one(words)?, 10_000)?); Ok(()) };
    set_keep_conn, "GangwayKeepConn", ANYWHERE, "On or Off",
        |_, conf, words| { conf.keep_conn = Some(values::switch(one(words)?)?); Ok(()) };
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
