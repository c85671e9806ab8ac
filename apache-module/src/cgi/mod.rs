// SPDX-License-Identifier: MIT OR Apache-2.0
//! CGI programs: from httpd's request to a script, on the thread that has the request.
//!
//! ```text
//! post_config -> prepare      the parent forks the spawner, while it is small and root
//! fixups      -> is_ours      which requests are a script's
//! handler     -> serve        the file, the words, a place among processes=
//!                -> client    this process' way to its helper, what becomes of scripts, what they leave behind
//!                -> exchange  three pipes between the script and httpd's filters; feed: the first of them
//! ```

mod client;
mod exchange;
mod feed;
mod waits;

use std::{
    ffi::{CStr, c_int},
    io,
    sync::OnceLock,
    time::Instant,
};

use gangway::{
    config::Cgi,
    error::{CGI_FAILED, CGI_REFUSED, CGI_SPAWNER},
    http::Fields,
    log::{self, Throttle},
    pool::{Permit, Pool, PoolLimits, Refusal},
    report,
    rights::Identity,
    run::{BriefRuns, LEADS_OUT, Words, find_index, full_line, late_line, spawn_request, users, words},
    status::{AppKind, Incident, Passage},
    sys::{
        explain,
        files::{Kind, lies_below},
        spawner::{InputPart, Pipes, SpawnerSeat},
    },
    trace::{Answerer, Trace},
};

use self::client::{Client, Running};
use crate::{
    body::{self, Advance, Whole},
    config, counting, mount,
    raw::{
        BodyLength, ConfigurationPool, DirConf, FORBIDDEN, GATEWAY_TIME_OUT, INTERNAL_SERVER_ERROR,
        NOT_FOUND, Request, SERVICE_UNAVAILABLE, ScriptRequest, Session,
    },
    section::Section,
    variables,
};

/// The name of the handler, which administrators use as well.
pub(crate) const HANDLER: &CStr = c"gangway-cgi";

/// The settings of scripts, each once.
#[derive(Default)]
pub(crate) struct AllSettings(Vec<(Cgi, String)>);

impl AllSettings {
    /// Answers the number of settings; `place`: the section in which they stand.
    pub(crate) fn add(&mut self, settings: Cgi, place: String) -> usize {
        let Self(all) = self;
        all.iter().position(|(known, _)| *known == settings).unwrap_or_else(|| {
            all.push((settings, place));
            all.len() - 1
        })
    }
}

/// Those of the configuration, by number, each with the section in which it stands first.
pub(crate) fn named() -> Vec<(Cgi, String)> {
    config::kept(|AllSettings(all)| all.clone())
}

/// Those of the configuration, by number.
fn settings() -> Vec<Cgi> {
    named().into_iter().map(|(cgi, _)| cgi).collect()
}

/// Made by the parent.
static SPAWNER: SpawnerSeat = SpawnerSeat::new();

/// What the configuration says, with a gate for each of its directives. In a child.
struct Scripts {
    settings: Vec<Cgi>,
    gates: Vec<Pool>,
    brief_runs: Vec<BriefRuns>,
    users: Vec<Identity>,
    refusals: Throttle,
}

static SCRIPTS: OnceLock<Scripts> = OnceLock::new();

fn scripts() -> &'static Scripts {
    SCRIPTS.get_or_init(|| {
        let settings = settings();
        let gate = |cgi: &Cgi| {
            let gate = Pool::new(PoolLimits { threads: cgi.processes(), queue: cgi.queue() });
            gate.open_gate(false);
            gate
        };
        let (gates, users) = (settings.iter().map(gate).collect(), users(&settings));
        let brief_runs = settings.iter().map(|_| BriefRuns::default()).collect();
        Scripts { settings, gates, brief_runs, users, refusals: Throttle::default() }
    })
}

/// The parent has read its configuration and is about to make children. Answers whether they can run scripts.
pub(crate) fn prepare(_: &ConfigurationPool) -> bool {
    let settings = settings();
    if settings.is_empty() {
        SPAWNER.clear();
        return true;
    }
    SPAWNER.replace(&users(&settings), || ()).map_err(|line| line.tell_process()).is_ok()
}

/// After the walk through the file system: whether the request is a script's.
pub(crate) fn is_ours(request: Request<'_>, _: usize) -> bool {
    let marked = request.has_script_handler() || request.handler() == HANDLER.to_bytes();
    // Of the server as a whole only what httpd's own rules mark is a script, or all static files would be.
    let has_section = request.conf().is_some_and(|conf| conf.section() != Section::Server);
    marked || has_section && !request.has_handler()
}

/// Declining would send the script's source to the client.
pub(crate) fn refuse_stray(request: Request<'_>) -> c_int {
    report!(request, Error, CGI_REFUSED, "the handler gangway-cgi is set where GangwayCGI is not On");
    INTERNAL_SERVER_ERROR
}

/// Runs a script by the settings with this number.
pub(crate) fn serve(request: Request<'_>, number: usize) -> c_int {
    let Some(conf) = request.conf() else { return INTERNAL_SERVER_ERROR };
    let found = scripts();
    let all = (found.settings.get(number), found.gates.get(number), found.brief_runs.get(number));
    let (Some(cgi), Some(gate), Some(runs)) = all else { return INTERNAL_SERVER_ERROR };
    request.observed(Answerer::Script, |trace| {
        let mut session = Session::new(request);
        match ready(&mut session, conf, cgi, trace) {
            Ok(ready) => {
                let passage = Passage::arrive(counting::tally(AppKind::Cgi, number));
                let status = run(session, (cgi, gate, runs), ready, (trace, &passage));
                counting::close(&passage, request, status);
                counting::note(request, AppKind::Cgi, number, &passage, || None);
                status
            }
            Err(status) => status,
        }
    })
}

/// All that is known before a process is needed.
struct Prepared {
    file: Vec<u8>,
    words: Words,
    /// All of the body, where that is there already.
    whole: Option<Whole>,
}

fn ready<'r>(
    session: &mut Session<'r>,
    conf: &DirConf<'r>,
    cgi: &Cgi,
    trace: Option<&Trace>,
) -> Result<Prepared, c_int> {
    let request = session.request();
    let (file, index, executable) = script_file(request, cgi)?;
    let Advance { length, whole } = body::advance_fully(session, body::body_length(request)?)?;
    let uri = request.uri();
    let script_name = mount::before(uri, request.path_info()).unwrap_or(uri);
    let mut variables = variables::build(request, conf, script_name, length, cgi.pass_authorization())?;
    if let Some(at) = variables.position(b"PATH_INFO")
        && variables.pair(at).is_some_and(|(_, value)| Some(value) == uri.strip_prefix(script_name))
    {
        // As mod_cgid: the path of a file that follows the script's, in which several slashes are one.
        variables.replace(at, request.path_info());
    }
    add_script(request, &mut variables, &file, index);
    if let Some(trace) = trace {
        trace.name(log::escape(&file));
        trace.identify(&variables);
    }
    let words = words(cgi, &variables, &file, executable).map_err(|error| {
        report!(request, Error, CGI_REFUSED, "{error}");
        c_int::from(error.status())
    })?;
    let whole = whole.or_else(|| (length == BodyLength::Known(0)).then(|| Whole::Small(Vec::new())));
    Ok(Prepared { file, words, whole })
}

/// What RFC 3875 and its users want to know beyond the request. The administrator's own values stay.
fn add_script(request: Request<'_>, variables: &mut Fields, file: &[u8], index: &[u8]) {
    if !index.is_empty()
        && let Some(at) = variables.position(b"SCRIPT_NAME")
    {
        let name = [request.uri(), index].concat();
        variables.replace(at, &name);
        if let Some(at) = variables.position(b"PATH_INFO") {
            variables.replace(at, b"");
        }
    }
    // RFC 3875 §4.1.6: where the server would look for PATH_INFO.
    let translated = match request.path_info() {
        b"" => Vec::new(),
        info => [request.document_root(), info].concat(),
    };
    for (name, value) in [(&b"SCRIPT_FILENAME"[..], file), (b"PATH_TRANSLATED", translated.as_slice())] {
        if !value.is_empty() && variables.position(name).is_none() {
            variables.push(name, value);
        }
    }
}

/// The file that httpd has found, if it may be run: its path, the name that `index=` added, whether it has a run bit.
fn script_file<'c>(request: Request<'_>, cgi: &'c Cgi) -> Result<(Vec<u8>, &'c [u8], bool), c_int> {
    let refuse = |status, why: &str| {
        let file = log::escape(request.filename());
        report!(request, Error, CGI_REFUSED, "{file}: {why}");
        status
    };
    let (file, index, executable) = if request.is_directory() {
        let slashed = request.uri().ends_with(b"/") && request.path_info().is_empty();
        let names = if slashed { cgi.index() } else { &[] };
        find_index(request.filename(), names, Kind::at)
            .ok_or_else(|| refuse(FORBIDDEN, "a directory is run by index= only"))?
    } else {
        let file = request.filename().to_vec();
        let kind = Kind::of(&file).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => refuse(FORBIDDEN, "it cannot be looked at: permission denied"),
            _ => {
                report!(request, Info, CGI_REFUSED, "{}: {error}", log::escape(&file));
                NOT_FOUND
            }
        })?;
        let Kind::File { executable } = kind else { return Err(refuse(FORBIDDEN, "it is no plain file")) };
        (file, "", executable)
    };
    if !request.may_execute() {
        return Err(refuse(FORBIDDEN, "Options ExecCGI is off in this directory; add Options +ExecCGI"));
    }
    if cgi.any_symlinks() == Some(false) && !lies_below(&file, request.context_root()) {
        return Err(refuse(FORBIDDEN, LEADS_OUT));
    }
    Ok((file, index.as_bytes(), executable))
}

fn run(
    mut session: Session<'_>,
    (cgi, gate, runs): (&'static Cgi, &'static Pool, &BriefRuns),
    mut ready: Prepared,
    (trace, passage): (Option<&Trace>, &Passage),
) -> c_int {
    let request = session.request();
    let small = match ready.whole.take() {
        Some(Whole::Small(bytes)) => Some(bytes),
        Some(Whole::Large(body)) => {
            session.unread(body, true);
            None
        }
        None => None,
    };
    let deadline = cgi.timeout().and_then(|timeout| Instant::now().checked_add(timeout));
    let permit = match gate.admit(deadline) {
        Ok(permit) => permit,
        Err(refusal) => return refuse(request, cgi, refusal, passage),
    };
    passage.begin(Instant::now());
    if let Some(trace) = trace {
        trace.begin();
    }
    match begin(request, cgi, permit, &ready, small.as_deref()) {
        Ok(begun) => exchange::serve(session, cgi, runs, begun, &ready.file),
        Err(status) => status,
    }
}

fn begin(
    request: Request<'_>,
    cgi: &'static Cgi,
    permit: Permit<'static>,
    ready: &Prepared,
    small: Option<&[u8]>,
) -> Result<(Running, Pipes), c_int> {
    let spawn = spawn_request(0, cgi, &scripts().users, &ready.file, &ready.words);
    let client = Client::of_process().map_err(|error| {
        let why = explain(&error);
        report!(request, Error, CGI_SPAWNER, "the spawner cannot be reached: {why}");
        SERVICE_UNAVAILABLE
    })?;
    let body = small.map(|bytes| [InputPart::Memory(bytes)]);
    let wants_stderr = cgi.stderr_level().is_some();
    client.run(&spawn, permit, body.as_ref().map(<[_; 1]>::as_slice), wants_stderr).map_err(|error| {
        report!(request, Error, CGI_FAILED, "{}: {}", log::escape(&ready.file), explain(&error));
        SERVICE_UNAVAILABLE
    })
}

fn refuse(request: Request<'_>, cgi: &Cgi, refusal: Refusal, passage: &Passage) -> c_int {
    match refusal {
        Refusal::Full => {
            passage.refuse(Incident::QueueFull, 503);
            if let Some(held) = scripts().refusals.pass(Instant::now()) {
                full_line(cgi, held).tell(&request);
            }
        }
        Refusal::Deadline => {
            late_line(cgi).tell(&request);
            return GATEWAY_TIME_OUT;
        }
        Refusal::Stopping => {}
    }
    request.set_error_header(c"Retry-After", c"1");
    SERVICE_UNAVAILABLE
}
