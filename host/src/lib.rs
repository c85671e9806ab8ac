// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway-host`: a FastCGI server that runs an application through the C ABI of `gangway.h`, without a web server around it.
//!
//! A request is read, run and answered by one thread ([`runner`]); the first thread of the process looks at the clock
//! ([`keeper`]). Between them is what they share ([`server`]). What stands on the wire is in the core and, without a socket
//! or a clock, in [`incoming`] and [`outgoing`]; the handler's side of a request is [`port`]. docs/host.md explains the program.

#![deny(unsafe_code)]
#![expect(rustdoc::private_intra_doc_links, reason = "a program has no other documentation")]

mod clock;
mod command;
mod connection;
mod errors;
mod handlers;
mod incoming;
mod keeper;
mod lanes;
mod listen;
mod notify;
mod outgoing;
mod pace;
mod places;
mod port;
mod port_state;
mod relay;
mod runner;
mod server;
mod shown;
mod sys;
mod template;
mod variables;
mod welcome;

use std::{env, io::Write, process::ExitCode, sync::Arc, time::Duration};

use gangway::{
    config::ApplicationConf,
    error::SERVER_FAILED,
    log::{self, Level},
    phases::HandlerPlace,
    pool::STACK,
    runtime::{self, Application, Runtime, Threads},
    supervise::UNWELL,
    sys::{own_user, spawner},
};

use command::{Command, Serve};
use listen::Listener;
use welcome::Welcome;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let serve = match command::parse(env::args_os().skip(1)) {
        Ok(Command::Say(text)) => {
            // Nobody reads it.
            let _ = writeln!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Ok(Command::Serve(serve)) => serve,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "gangway-host: {error}");
            return ExitCode::from(2);
        }
    };
    log::install(Box::new(errors::Errors::find()));
    match run(*serve) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            log::process(Level::Error, &format!("gangway-host: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// An application and what loads and ends it.
struct Loaded {
    runtime: Runtime,
    application: Arc<Application>,
}

/// How it serves.
struct ServeOptions {
    welcome: Welcome,
    drain: Duration,
    /// The web server is one of our modules.
    is_managed: bool,
    /// Handlers that stand in the place of an application.
    handlers: Option<HandlerPlace>,
}

/// Serves until a signal says that it is to end. Answers whether all went well.
fn run(serve: Serve) -> Result<bool, String> {
    let Serve { address, is_template, is_trial, is_managed, account, drain, mut config, handlers } = serve;
    let control = if is_template { Some(template::control()?) } else { None };
    let look = |name: String| look_for(&name).and_then(|()| places::check(&config, handlers.as_ref()));
    let allowed = account.map_or(Ok(()), look);
    let checked = allowed.and_then(|()| check(&config));
    if let (Some(control), Err(reason)) = (&control, &checked) {
        control.not_loaded(reason);
    }
    let welcome = checked?;
    if is_trial {
        template::try_to_load(&config)?;
        // What it has begun ends with this process, without its exit handlers: those are for processes that have served.
        sys::exit_now(0);
    }
    // Another one may finish its requests beside this one.
    config.set_multiprocess(true);
    if let Some(control) = control {
        return run_forked(
            template::live(control, &config)?,
            ServeOptions { welcome, drain, is_managed, handlers },
        );
    }
    let listener = Listener::find(address.as_ref())?;
    warn(&listener, address.as_ref(), &welcome);
    notify::find();
    sys::forget_environment(&["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"]);
    sys::name_thread(c"gangway-host");
    let signals = sys::Signals::catch().map_err(|error| format!("cannot watch signals: {error}"))?;
    let runtime = Runtime::start(Threads::Server).map_err(failed)?;
    let application = runtime.application(&config, Threads::Server);
    keep(
        listener,
        Loaded { runtime, application },
        signals,
        ServeOptions { welcome, drain, is_managed, handlers },
    )
}

/// The account of `user=` may have been removed, or made anew with another number, since the server has read its configuration.
fn look_for(name: &str) -> Result<(), String> {
    let own = own_user();
    match spawner::lookup(name) {
        Ok(found) if found.user == own => Ok(()),
        Ok(found) => Err(format!(
            "\"{name}\" of user= is user {} now, and was user {own} when the server read its configuration; reload the server",
            found.user
        )),
        Err(error) => Err(format!("user= cannot be used any more: {error}")),
    }
}

/// What can be said before the application is loaded.
fn check(config: &ApplicationConf) -> Result<Welcome, String> {
    runtime::check(std::slice::from_ref(config)).map_err(|(_, reason)| reason)?;
    let addresses = env::var_os("FCGI_WEB_SERVER_ADDRS");
    Welcome::parse(addresses.as_deref()).map_err(|word| {
        format!("FCGI_WEB_SERVER_ADDRS holds \"{word}\", which is no address: use 127.0.0.1,::1")
    })
}

/// A process that was forked from a template. Its first thread has loaded the application and ends it.
fn run_forked(born: template::Born, options: ServeOptions) -> Result<bool, String> {
    let template::Born { listener, signals, loaded, thread } = born;
    let listener = Listener::of(listener)?;
    let keeper = gangway::sys::spawn("gw-keeper", STACK, move || keep(listener, loaded, signals, options));
    let keeper = keeper.map_err(failed)?;
    thread.live();
    keeper.join().unwrap_or_else(|_panic| Err("a defect; the line above says where".into()))
}

fn failed(error: std::io::Error) -> String {
    format!("{SERVER_FAILED} cannot start: {}", gangway::sys::explain(&error))
}

/// Serves until the end.
fn keep(
    listener: Listener,
    loaded: Loaded,
    signals: sys::Signals,
    options: ServeOptions,
) -> Result<bool, String> {
    let Loaded { runtime, application } = loaded;
    let ServeOptions { welcome, drain, is_managed, handlers } = options;
    if is_managed {
        application.listen(|reason| {
            // Without it the status says less, and nothing else.
            let _ = std::io::stderr().write_all(&[UNWELL, b" ", reason.as_bytes(), b"\n"].concat());
        });
    }
    let (is_replaced, (made, was_nonblocking)) = (listener.is_inherited, listener.origin());
    let server = server::Server::new(application, listener.socket, welcome, is_managed, handlers);
    let server = Arc::new(server.map_err(failed)?);
    let threads = runner::start(&server).map_err(failed)?;
    let keeper =
        keeper::Keeper { server: Arc::clone(&server), runtime, signals, drain, is_replaced, is_managed };
    let ended = keeper.keep();
    Listener::finish(server.listener(), made.as_ref(), was_nonblocking);
    if !ended {
        // A thread may still run the application: the destructors of exit(3) would pull the ground from under it.
        sys::exit_now(1);
    }
    for thread in threads {
        // A panic there has been logged by its fence.
        let _ = thread.join();
    }
    Ok(ended)
}

/// What is legal and seldom wanted.
fn warn(listener: &Listener, address: Option<&listen::Address>, welcome: &Welcome) {
    if Listener::is_public(address) && !welcome.names_somebody() {
        let text = "every machine that reaches this address can send requests in anybody's name, for FastCGI knows no \
                    passwords: listen on 127.0.0.1 or a unix: socket, or set FCGI_WEB_SERVER_ADDRS";
        log::process(Level::Warn, text);
    }
    if sys::is_root() && !listener.is_inherited {
        let text =
            "the application runs as root: start gangway-host as the application's own user (systemd: User=)";
        log::process(Level::Warn, text);
    }
}
