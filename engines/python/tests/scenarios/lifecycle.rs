// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads, the interpreter's lock, interrupts, and the interpreter from its start to its end.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use gangway_python_abi::ffi::{GW_ERROR, GW_OK};

use super::World;
use crate::host::{Request, Wish, apps, take_log};

pub(crate) fn contexts(world: &World) {
    let app = world.app("application");
    let engine = world.engine;
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..3 {
                assert_eq!(engine.get(app, "/context").text(), "unset");
            }
            engine.thread_end(app);
        });
    });
}

/// A request that waits for its client must not stop the others.
pub(crate) fn waits_without_the_lock(world: &World) {
    let app = world.app("application");
    let engine = world.engine;
    for path in ["/echo", "/generator", "/large", "/file"] {
        let mut wish = Wish::path(path).post(&[b"x"]);
        wish.gate_shut = true;
        let request = Request::new(wish);
        thread::scope(|scope| {
            let request = &*request;
            let slow = scope.spawn(move || {
                engine.enter(app);
                let answer = engine.handle(app, request);
                engine.leave(app);
                engine.thread_end(app);
                answer
            });
            request.wait_until_waiting();
            assert_eq!(world.get("/hello").text(), "hello", "while {path} waits");
            request.open_gate();
            assert_eq!(slow.join().expect("no panic").finished, Some(GW_OK), "{path}");
        });
    }
}

/// Runs `path` until it is stuck, calls `then` with the request, and returns what came of it and of a second
/// request on the same thread.
fn stuck(world: &World, path: &str, then: impl Fn(&Request)) -> [crate::host::Answer; 2] {
    let app = world.app("application");
    let engine = world.engine;
    let request = Request::new(Wish::path(path));
    thread::scope(|scope| {
        let request = &*request;
        let pool = scope.spawn(move || {
            engine.enter(app);
            let first = engine.handle(app, request);
            let second = engine.handle(app, &Request::new(Wish::path("/count_a_little")));
            engine.leave(app);
            engine.thread_end(app);
            [first, second]
        });
        world.get("/wait_until_stuck");
        then(request);
        pool.join().expect("no panic")
    })
}

pub(crate) fn interrupt(world: &World) {
    let app = world.app("application");
    let [first, second] = stuck(world, "/stuck", |request| {
        request.cancel();
        world.engine.interrupt(app, request);
    });
    assert_eq!(first.returned, GW_ERROR);
    assert!(first.logged("GW0313"), "{:?}", first.log);
    assert!(
        first.log.iter().any(|(_, line)| line.contains("rules.py") && line.ends_with("in stuck")),
        "{:?}",
        first.log
    );
    assert_eq!((second.finished, second.text().as_str()), (Some(GW_OK), "4999950000"));
}

/// An interrupt that the application has no time to see must not hit the next request.
pub(crate) fn late_interrupt(world: &World) {
    let app = world.app("application");
    world.app_events();
    let [first, second] = stuck(world, "/stuck_and_swallows", |request| {
        world.engine.interrupt(app, request);
        // A second one may come while the application ends, or after.
        world.engine.interrupt(app, request);
    });
    assert!(matches!(first.returned, GW_OK | GW_ERROR));
    assert_eq!((second.finished, second.text().as_str()), (Some(GW_OK), "4999950000"), "{:?}", second.log);
}

pub(crate) fn without_enter(world: &World) {
    let app = world.app("application");
    let engine = world.engine;
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..3 {
                let answer = engine.handle(app, &Request::new(Wish::path("/hello")));
                assert_eq!(answer.text(), "hello");
            }
            engine.thread_end(app);
        });
    });
    assert_eq!(world.get("/hello").text(), "hello", "the lock was given up");
}

pub(crate) fn many_threads(world: &World) {
    let app = world.app("application");
    let engine = world.engine;
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..6 {
            let done = &done;
            scope.spawn(move || {
                for index in 0..200 {
                    let text = format!("{number} {index}");
                    let mut wish = Wish::path("/echo").post(&[text.as_bytes()]);
                    wish.always_again = index % 3 == 0;
                    assert_eq!(engine.run(app, wish).text(), text);
                }
                engine.thread_end(app);
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(done.into_inner(), 6);
}

pub(crate) fn facts(world: &World) {
    let mut spec =
        world.spec("rules:facts").option("root", apps()).option("env", "GANGWAY_TEST_SET=before = start");
    spec.threads = 1;
    spec.multiprocess = true;
    let app = world.load(&spec).0;
    let answer = world.run_app(app, Wish::path("/"));
    let text = answer.text();
    for fact in [
        "'argv': ['rules']",
        "'encoding': 'utf-8'",
        "'set': 'before = start'",
        "'main': False",
        "'multithread': False",
        "'multiprocess': True",
        &format!("'path0': '{}'", apps().display()),
    ] {
        assert!(text.contains(fact), "{fact} is missing in {text}");
    }
    let executable =
        text.split("'executable': '").nth(1).and_then(|rest| rest.split('\'').next()).expect("executable");
    let prefix = text.split("'prefix': '").nth(1).and_then(|rest| rest.split('\'').next()).expect("prefix");
    assert!(std::path::Path::new(executable).exists() && executable.starts_with(prefix), "{text}");
    // A variable that another application sets differently is refused; the same value is not.
    let other = world.spec("rules:hello").option("root", apps()).option("env", "GANGWAY_TEST_SET=other");
    let refusal = world.engine.load(&other).map(|_| ()).expect_err("conflict");
    assert!(refusal.contains("environment variable GANGWAY_TEST_SET"), "{refusal}");
    let later = world.spec("rules:facts").option("root", apps()).option("env", "GANGWAY_TEST_LATER=1");
    world.load(&later);
}

pub(crate) fn end(world: &World) {
    let app = world.load(&world.spec("rules:application").option("root", apps())).0;
    assert_eq!(world.run_app(app, Wish::path("/hello")).text(), "hello");
    world.forget();
    take_log();
    world.engine.unload(app);
    let log = take_log();
    assert!(log.iter().any(|(_, line)| line == "goodbye from atexit"), "{log:?}");
    let refusal =
        world.engine.load(&world.spec("rules:hello").option("root", apps())).map(|_| ()).expect_err("ended");
    assert!(refusal.contains("cannot be started twice"), "{refusal}");
}
