// SPDX-License-Identifier: MIT OR Apache-2.0
//! AuthScripts that say who may come, as mod_wsgi has them: its directives, Gangway's own, and what httpd's modules ask them.

use std::os::unix::ffi::{OsStrExt, OsStringExt};

use gangway::phases::{Change, Handler, RequestPhase, Table};
use gangway_httpd::directive::Command;

use super::{run::answer_with, words::check_place};
use crate::{
    phase_conf::PhaseConf,
    raw::{
        AuthScripts, DECLINED, DirConf, FORBIDDEN, OK, RealmHash, Request, UNAUTHORIZED, Verdict, is_loaded,
    },
};

/// What a script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScriptUse {
    /// Who may come from where.
    Access,
    /// Passwords.
    Users,
    /// Groups.
    Groups,
}

/// The module of the engine that calls scripts.
const MODULE: &[u8] = b"mod_python.wsgiauth";
/// Where the script's answer stands for a moment.
const HASH: &[u8] = b"gangway-realm-hash";

impl ScriptUse {
    /// What the module finds its path by.
    fn option(self) -> &'static [u8] {
        match self {
            Self::Access => b"mod_python.wsgiauth.access_script",
            Self::Users => b"mod_python.wsgiauth.auth_user_script",
            Self::Groups => b"mod_python.wsgiauth.auth_group_script",
        }
    }
}

/// `GangwayAccess SCRIPT` and its kin.
pub(crate) fn set_script<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    usage: ScriptUse,
    words: &[&[u8]],
) -> Result<(), String> {
    let [script] = *words else { return Err("needs the path of a script".into()) };
    check_place(command)?;
    let path = command.server_root().join(std::ffi::OsStr::from_bytes(script));
    let path = command.pool().copy(&path.into_os_string().into_vec());
    add(command, conf.phases_mut(), usage, path);
    Ok(())
}

/// `WSGIAccessScript SCRIPT [application-group=NAME]` and its kin. With mod_wsgi they are its own.
pub(crate) fn set_wsgi_script<'c>(
    command: &Command<'c>,
    conf: &mut DirConf<'c>,
    usage: ScriptUse,
    words: &[&[u8]],
) -> Result<(), String> {
    if is_loaded(c"mod_wsgi.c") {
        return Ok(());
    }
    match *words {
        // There is one interpreter, whatever its groups are called.
        [script, group] if group.starts_with(b"application-group=") => {
            set_script(command, conf, usage, &[script])
        }
        _ => set_script(command, conf, usage, words),
    }
}

fn add<'c>(command: &Command<'c>, conf: &mut PhaseConf<'c>, usage: ScriptUse, path: &'c [u8]) {
    let pool = command.pool();
    conf.set_option(usage.option(), path, pool);
    let name = MODULE;
    let handler = Handler { phase: RequestPhase::Access, name, suffix: None, directory: b"" };
    if usage == ScriptUse::Access && !conf.handlers.contains(&handler) {
        conf.add_handlers(&[handler], pool);
    }
}

/// Who asks the scripts, for httpd's modules.
pub(crate) const SCRIPTS: AuthScripts = AuthScripts { password, hash, groups };

fn password(request: Request<'_>, user: &[u8], password: &[u8]) -> Verdict {
    let told: [(&[u8], &[u8]); 2] =
        [(b"mod_python.wsgiauth.user", user), (b"mod_python.wsgiauth.password", password)];
    ask(request, RequestPhase::Authen, b"mod_python.wsgiauth::passwordprovider", &told)
}

fn hash(request: Request<'_>, user: &[u8], realm: &[u8]) -> RealmHash {
    let told: [(&[u8], &[u8]); 2] =
        [(b"mod_python.wsgiauth.user", user), (b"mod_python.wsgiauth.realm", realm)];
    let verdict = ask(request, RequestPhase::Authen, b"mod_python.wsgiauth::hashprovider", &told);
    let mut found = None;
    request.show_table(Table::Notes, &mut |name, value| {
        if name == HASH {
            found = Some(value.to_vec());
        }
    });
    request.change_table(Table::Notes, Change::Unset(HASH));
    match verdict {
        Verdict::Granted => found.ok_or(Verdict::Failed),
        other => Err(other),
    }
}

fn groups(request: Request<'_>, names: &[&[u8]]) -> Verdict {
    let names = names.join(&b'\n');
    let told: [(&[u8], &[u8]); 1] = [(b"mod_python.wsgiauth.required", &names)];
    ask(request, RequestPhase::Authz, b"mod_python.wsgiauth::groupsprovider", &told)
}

/// Runs a function of the module, which finds in its options what it is told.
fn ask(request: Request<'_>, phase: RequestPhase, name: &'static [u8], told: &[(&[u8], &[u8])]) -> Verdict {
    let Some(conf) = request.conf().map(|conf| conf.phases()) else { return Verdict::Failed };
    let handler = Handler { phase, name, suffix: None, directory: b"" };
    match answer_with(request, phase, conf, &[handler], told) {
        OK => Verdict::Granted,
        DECLINED => Verdict::Unknown,
        UNAUTHORIZED | FORBIDDEN => Verdict::Denied,
        _ => Verdict::Failed,
    }
}
