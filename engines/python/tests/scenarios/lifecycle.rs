// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads, the interpreter's lock, interrupts, and the interpreter from its start to its end.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use gangway_abi::ffi::{GW_ERROR, GW_OK};

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

/// An interrupt that comes when the request runs no Python code any more must not hit the next one.
pub(crate) fn late_interrupt(world: &World) {
    let app = world.app("application");
    let engine = world.engine;
    let mut wish = Wish::path("/pair");
    wish.gate_shut = true;
    let request = Request::new(wish);
    let [first, second] = thread::scope(|scope| {
        let request = &*request;
        let pool = scope.spawn(move || {
            engine.enter(app);
            let first = engine.handle(app, request);
            let second = engine.handle(app, &Request::new(Wish::path("/count_a_little")));
            engine.leave(app);
            engine.thread_end(app);
            [first, second]
        });
        request.wait_until_waiting();
        engine.interrupt(app, request);
        request.open_gate();
        pool.join().expect("no panic")
    });
    assert_eq!((first.finished, first.text().as_str()), (Some(GW_OK), "onetwo"));
    assert!(first.logged("GW0313"));
    assert_eq!((second.finished, second.text().as_str()), (Some(GW_OK), "4999950000"), "{:?}", second.log);
}

/// The application may catch the interrupt and answer all the same.
pub(crate) fn swallowed_interrupt(world: &World) {
    let app = world.app("application");
    world.app_events();
    let [first, second] = stuck(world, "/stuck_and_swallows", |request| world.engine.interrupt(app, request));
    assert_eq!((first.finished, first.text().as_str()), (Some(GW_OK), "hello"));
    assert_eq!(second.text(), "4999950000");
    assert_eq!(world.app_events(), "swallowed");
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
    let folder = tempfile::tempdir().expect("temp dir");
    let file = folder.path().join("variables");
    std::fs::write(&file, "# comment\nGANGWAY_TEST_SET=of the file\nGANGWAY_TEST_FILE='of the file'\n")
        .expect("write");
    let mut spec = world
        .spec("rules:facts")
        .option("env_file", &file)
        .option("root", apps())
        .option("env", "GANGWAY_TEST_SET=before = start");
    spec.threads = 1;
    spec.multiprocess = true;
    let app = world.load(&spec).0;
    let answer = world.run_app(app, Wish::path("/"));
    let text = answer.text();
    for fact in [
        "'argv': ['rules']",
        "'encoding': 'utf-8'",
        "'set': 'before = start'",
        "'file': 'of the file'",
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

/// Threads that have thread states, of the server and of the application, are there when the interpreter ends.
pub(crate) fn end_with_threads(world: &World) {
    let app = world.load(&world.spec("rules:application").option("root", apps())).0;
    let engine = world.engine;
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let (used, is_used) = std::sync::mpsc::channel();
    let sleeping = thread::spawn(move || {
        let texts = ["/hello", "/starts_threads", "/executor"].map(|path| engine.get(app, path).text());
        used.send(texts).expect("the test listens");
        // As a server's own thread: it never says thread_end().
        let _ended = wait.recv();
    });
    assert_eq!(is_used.recv().expect("ran"), ["hello", "hello", "from an executor"]);
    world.forget();
    // What the threads have said before belongs to it: on a busy machine the one that is waited for may have ended by now.
    engine.unload(app);
    let log: Vec<String> =
        take_log().into_iter().map(|(_, line)| line).filter(|line| line != "daemon").collect();
    assert_eq!(log, ["non-daemon thread has ended", "goodbye from atexit"]);
    drop(done);
    sleeping.join().expect("no panic");
}

pub(crate) fn nothing_leaks(world: &World) {
    let app = world.app("application");
    let engine = world.engine;
    let blocks = || engine.get(app, "/blocks_allocated").text().parse::<i64>().expect("a number");
    thread::scope(|scope| {
        scope.spawn(|| {
            for path in [
                "hello",
                "generator",
                "raises",
                "large",
                "file",
                "memory_file",
                "head",
                "prints",
                "returns",
                "starts",
            ] {
                let run = || {
                    let wish =
                        Wish::path(&format!("/{path}")).post(&[b"body"]).with("HTTP_X_SOMETHING", "value");
                    engine.run(app, wish.with("QUERY_STRING", if path == "returns" { "['x']" } else { "" }));
                };
                (0..300).for_each(|_| run());
                let before = blocks();
                (0..1000).for_each(|_| run());
                let grown = blocks() - before;
                // Caches of the interpreter grow a little; a leak grows by a block per request at least.
                assert!(grown < 500, "{grown} blocks after 1000 requests of {path}");
            }
            engine.thread_end(app);
        });
    });
}

pub(crate) fn other_thread(world: &World) {
    world.app_events();
    let mut wish = Wish::path("/read_elsewhere").post(&[b"all of ", b"it"]).again();
    wish.other_threads = true;
    let answer = world.run(wish);
    assert_eq!(answer.text(), "all of itwrite() is for the thread of the request alone", "{:?}", answer.log);
    // The request ends only when the thread has left the host.
    let mut wish = Wish::path("/left_behind").post(&[b"x"]);
    wish.other_threads = true;
    wish.gate_shut = true;
    let request = Request::new(wish);
    let app = world.app("application");
    let engine = world.engine;
    thread::scope(|scope| {
        let request = &*request;
        let pool = scope.spawn(move || {
            engine.enter(app);
            let answer = engine.handle(app, request);
            engine.leave(app);
            engine.thread_end(app);
            answer
        });
        request.wait_until_waiting();
        request.open_gate();
        pool.join().expect("no panic");
    });
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while world.app_events() != "read" {
        assert!(std::time::Instant::now() < end, "the thread never came back");
    }
}
