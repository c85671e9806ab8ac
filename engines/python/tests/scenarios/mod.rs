// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the engine must do, as requests and what comes of them.

mod body;
mod errors;
mod head;
mod lifecycle;
mod loading;
mod response;
mod template;

use std::{
    cell::RefCell,
    collections::HashMap,
    path::{Path, PathBuf},
    thread,
};

use crate::host::{Answer, App, Engine, Spec, Wish, apps, take_log};

/// A name and what to do.
pub(crate) struct Scenario(pub(crate) &'static str, pub(crate) fn(&World));

/// Scenarios that can share a process.
pub(crate) const SHARED: &[Scenario] = &[
    Scenario("hello", response::hello),
    Scenario("environ", body::environ),
    Scenario("environ_does_not_leak", body::environ_does_not_leak),
    Scenario("url_scheme", body::url_scheme),
    Scenario("validator", body::validator),
    Scenario("echo", body::echo),
    Scenario("reads", body::reads),
    Scenario("lines", body::lines),
    Scenario("body_in_constant_memory", body::constant_memory),
    Scenario("file_protocol", body::file_protocol),
    Scenario("broken_body", body::broken_body),
    Scenario("objects_after_the_request", body::objects_after_the_request),
    Scenario("head_rules", head::rules),
    Scenario("head_is_passed_on", head::passed_on),
    Scenario("second_start_response", head::second),
    Scenario("exc_info", head::exc_info),
    Scenario("no_start_response", head::never_started),
    Scenario("write_callable", head::write_callable),
    Scenario("lists", response::lists),
    Scenario("generators", response::generators),
    Scenario("wrong_iterables", response::wrong_iterables),
    Scenario("head_requests", response::head_requests),
    Scenario("statuses_without_body", response::without_body),
    Scenario("content_length", response::content_length),
    Scenario("large_blocks", response::large_blocks),
    Scenario("references_come_back", response::references_come_back),
    Scenario("large_responses_do_not_linger", response::freed_without_a_request),
    Scenario("nothing_leaks", lifecycle::nothing_leaks),
    Scenario("body_read_by_another_thread", lifecycle::other_thread),
    Scenario("host_refuses_the_head", head::refused_by_the_host),
    Scenario("client_leaves", response::client_leaves),
    Scenario("files", response::files),
    Scenario("other_files", response::other_files),
    Scenario("exceptions", errors::exceptions),
    Scenario("exceptions_in_the_middle", errors::in_the_middle),
    Scenario("close_raises", errors::close_raises),
    Scenario("debug_page", errors::debug_page),
    Scenario("log_lines", errors::log_lines),
    Scenario("signals_are_the_servers", errors::signals),
    Scenario("contexts_do_not_leak", lifecycle::contexts),
    Scenario("waits_without_the_lock", lifecycle::waits_without_the_lock),
    Scenario("interrupt", lifecycle::interrupt),
    Scenario("late_interrupt", lifecycle::late_interrupt),
    Scenario("swallowed_interrupt", lifecycle::swallowed_interrupt),
    Scenario("handle_without_enter", lifecycle::without_enter),
    Scenario("many_threads", lifecycle::many_threads),
];

/// Scenarios that need a process of their own.
pub(crate) const ALONE: &[Scenario] = &[
    Scenario("interpreter_facts", lifecycle::facts),
    Scenario("end_of_the_interpreter", lifecycle::end),
    Scenario("end_with_threads", lifecycle::end_with_threads),
    Scenario("forks_of_a_template", template::forks),
    Scenario("a_template_that_cannot_load", template::cannot_load),
    Scenario("import_heals", loading::heals),
    Scenario("import_failures_are_explained", loading::explained),
    Scenario("file_targets", loading::files),
    Scenario("name_clash", loading::name_clash),
    Scenario("sharing", loading::sharing),
    Scenario("virtual_environment", loading::virtual_environment),
];

/// The engine and the applications that a process has loaded so far.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) python: PathBuf,
    apps: RefCell<HashMap<String, App>>,
}

impl World {
    pub(crate) fn new(folder: &Path, python: PathBuf) -> Self {
        Self { engine: Engine::open(folder), python, apps: RefCell::default() }
    }

    /// A specification with this process's Python.
    pub(crate) fn spec(&self, target: &str) -> Spec {
        Spec::new(target).option("python", &self.python)
    }

    /// The application `rules:<callable>`.
    pub(crate) fn app(&self, callable: &str) -> App {
        let mut spec = self.spec(&format!("rules:{callable}")).option("root", apps());
        if callable == "debugged" {
            spec = spec.option("debug", "on");
        }
        let known = self.apps.borrow().get(callable).copied();
        known.unwrap_or_else(|| {
            let app = self.load(&spec).0;
            self.apps.borrow_mut().insert(callable.to_owned(), app);
            app
        })
    }

    /// Loads an application; also what it logged meanwhile.
    pub(crate) fn load(&self, spec: &Spec) -> (App, Vec<(u32, String)>) {
        take_log();
        let app = self.engine.load(spec).unwrap_or_else(|error| panic!("load of {}: {error}", spec.target));
        self.apps.borrow_mut().insert(format!("{spec:?}"), app);
        (app, take_log())
    }

    /// Runs a request of `rules:application` on a pool thread.
    pub(crate) fn run(&self, wish: Wish) -> Answer {
        self.run_app(self.app("application"), wish)
    }

    pub(crate) fn run_app(&self, app: App, wish: Wish) -> Answer {
        let engine = self.engine;
        thread::scope(|scope| {
            let pool = scope.spawn(move || {
                let answer = engine.run(app, wish);
                engine.thread_end(app);
                answer
            });
            pool.join().expect("no panic")
        })
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.run(Wish::path(path))
    }

    /// The events that the applications have noted since the last call.
    pub(crate) fn app_events(&self) -> String {
        self.get("/events").text()
    }

    /// Leaves unload() to the caller.
    pub(crate) fn forget(&self) {
        self.apps.borrow_mut().clear();
    }

    pub(crate) fn end(self) {
        let mut done = Vec::new();
        for app in self.apps.into_inner().into_values() {
            // The same application may be known by two names.
            if !done.contains(&app.address()) {
                done.push(app.address());
                self.engine.unload(app);
            }
        }
    }
}

/// A query string with an expression in it.
pub(crate) fn query(path: &str, expression: &str) -> Wish {
    Wish::path(path).with("QUERY_STRING", expression)
}
