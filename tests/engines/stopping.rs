// SPDX-License-Identifier: MIT OR Apache-2.0
//! Loading, failing to load, and the end of a process.

use std::{
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::Duration,
};

use gangway::{
    error,
    exchange::{Cause, End},
    pool::Refusal,
    runtime::{self, Application, Threads},
};

use crate::world::{Client, PATIENCE, World, await_line, compile, config, directory, get, lines_with};

#[test]
fn requests_wait_while_the_application_loads() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=patient", "threads=1"]);
    let clients: Vec<_> = (0..20).map(|_| get("/hello").send(&app)).collect();
    assert!(clients.into_iter().all(|client| client.ended().text() == "patient"));
    world.end();
}

#[test]
fn a_load_that_fails_answers_those_that_wait_and_those_that_come() {
    let world = World::new();
    let app = world.load("good/native", &["env=FAIL=no flux; install it"]);
    let other = world.load("good/native", &["env=GREETING=beside"]);
    for _ in 0..20 {
        let failed = get("/hello").answer(&app);
        assert_eq!(failed.summary(), (None, String::new(), Some(End::Failed)));
        assert_eq!(failed.lines, ["GW0206 the application could not be loaded: no flux; install it"]);
    }
    assert_eq!(lines_with("GW0206 cannot load demo:app: no flux; install it").len(), 1);
    assert_eq!(get("/hello").answer(&other).text(), "beside");
    world.end();
}

#[test]
fn no_request_is_lost_while_a_load_fails() {
    let world = World::new();
    let file = compile("good/native");
    for round in 0..200 {
        let loading = OnceLock::new();
        let submit_all = || {
            let clients: Vec<_> = (0..50).map(|_| get("/").prepare()).collect();
            let app: &Arc<Application> = loading.wait();
            clients.iter().for_each(|client| client.submit(app).unwrap());
            clients
        };
        let clients: Vec<Client> = thread::scope(|scope| {
            let threads = [scope.spawn(submit_all), scope.spawn(submit_all), scope.spawn(submit_all)];
            let fails = format!("env=FAIL=round {round}");
            loading.get_or_init(|| world.load_file(file, &[&fails], Threads::Own));
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(clients.into_iter().all(|client| client.ended().end == Some(End::Failed)), "round {round}");
    }
    world.end();
}

#[test]
fn a_missing_engine_is_one_line_and_its_cure() {
    let world = World::new();
    let app = world.load_file("no-such-engine.so", &[], Threads::Own);
    let answer = get("/").answer(&app);
    assert_eq!(answer.end, Some(End::Failed));
    let line = await_line("/no-such-engine.so");
    assert!(line.starts_with("GW0201 cannot open the engine"), "{line}");
    assert!(line.ends_with("install or build it again for this machine"), "{line}");
    world.end();
}

#[test]
fn waiting_requests_are_sent_away_at_the_end() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=sent-away", "threads=1"]);
    let busy = get("/stream").with("QUERY_STRING", "1000").room(1000).send(&app);
    busy.await_blocked();
    let waiting = get("/hello").send(&app);
    thread::scope(|scope| {
        let stopping = scope.spawn(|| world.stop(PATIENCE));
        let waiting = waiting.ended();
        assert_eq!((waiting.end, waiting.exchange.cancelled()), (Some(End::Failed), Some(Cause::Shutdown)));
        assert_eq!(get("/").prepare().submit(&app), Err(Refusal::Stopping));
        assert!(!stopping.is_finished(), "one is still running");
        busy.exchange.cancel(Cause::Shutdown);
        busy.ended();
        stopping.join().unwrap();
    });
    assert!(await_line("native: sent-away:").contains("handled=1 "));
    assert_eq!(get("/").prepare().submit(&app), Err(Refusal::Stopping));
}

#[test]
fn a_process_that_ends_while_an_application_loads_has_nothing_to_end() {
    let fifo = directory().join(format!("loads-{}", std::process::id()));
    let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
    // SAFETY: a path that ends with NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let world = World::new();
    let loads = format!("env=LOADS={}", fifo.display());
    let app = world.load("good/native", &["env=GREETING=ends-loading", &loads, "threads=4"]);
    let waiting = get("/hello").send(&app);
    await_line(fifo.to_str().unwrap());
    world.stop(Duration::from_millis(20));
    await_line("the worker process ends while its applications are being loaded");
    // Where it is there nevertheless, nothing begins to run.
    drop(std::fs::File::options().write(true).open(&fifo).unwrap());
    assert_eq!(waiting.ended().end, Some(End::Failed));
    assert!(await_line("native: ends-loading:").contains("handled=0 threads=0 "));
    assert!(lines_with("GW0208 applications did not end within 0.02s").is_empty());
    std::fs::remove_file(fifo).unwrap();
}

#[test]
fn a_stuck_handler_is_not_waited_for_and_not_unloaded() {
    let world = World::new();
    let app = world.load("good/native", &["stuck:app", "env=GREETING=stuck", "threads=1"]);
    let stuck = get("/stream").with("QUERY_STRING", "1000").room(1000).send(&app);
    stuck.await_blocked();
    world.stop(Duration::from_millis(20));
    await_line("GW0208 stuck:app: requests still run at the end of the worker");
    // It still works on memory of the engine's.
    stuck.exchange.cancel(Cause::Shutdown);
    stuck.ended();
    assert!(lines_with("native: stuck:").is_empty(), "it was unloaded");
}

#[test]
fn the_end_of_a_process_is_safe_to_ask_for_twice() {
    let world = World::new();
    let app = world.load("good/native", &["env=GREETING=twice"]);
    get("/hello").answer(&app);
    world.stop(PATIENCE);
    world.stop(PATIENCE);
    let late = world.load("good/native", &["env=GREETING=too late"]);
    let answer = get("/hello").answer(&late);
    assert!(answer.has_line("the engine thread has ended"), "{:?}", answer.lines);
}

#[test]
fn the_configuration_test_asks_the_engine() {
    World::new();
    let file = compile("good/native");
    let good = config(file, &["env=GREETING=checked"]);
    let bad = config(file, &["bad:app"]);
    assert_eq!(runtime::check(std::slice::from_ref(&good)), Ok(()));
    let (index, reason) = runtime::check(&[good.clone(), bad]).unwrap_err();
    assert!(index == 1 && reason.ends_with("\"bad:app\" cannot be run; use demo:app"), "{reason}");
    let missing = config("missing.so", &[]);
    let (index, reason) = runtime::check(&[good, missing]).unwrap_err();
    assert_eq!(index, 1);
    assert!(
        reason.starts_with(&error::ENGINE_MISSING.to_string()) && reason.contains("missing.so"),
        "{reason}"
    );
    assert!(lines_with("native: checked:").is_empty(), "nothing was loaded");
}

#[test]
fn the_entry_point_is_called_once_per_process() {
    let file = compile("good/once");
    runtime::check(&[config(file, &[])]).unwrap();
    for _ in 0..3 {
        let world = World::new();
        assert_eq!(get("/").answer(&world.load("good/once", &[])).text(), "1");
        world.end();
    }
}

#[test]
fn handlers_run_without_the_servers_signals() {
    let (tell, told) = mpsc::channel();
    gangway::sys::spawn("gw-test", 1 << 20, move || {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        tell.send(status).unwrap();
    })
    .unwrap();
    let status = told.recv_timeout(PATIENCE).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
    let mask = u64::from_str_radix(mask, 16).unwrap();
    let blocked = |signal: i32| mask & (1 << (signal - 1)) != 0;
    assert!(
        [1, 2, 10, 12, 14, 15, 17, 28].into_iter().all(blocked),
        "HUP, INT, USR1, ... stay with the server"
    );
    assert!(![4, 6, 7, 8, 11].into_iter().any(blocked), "a fault is seen where it happens");
}
