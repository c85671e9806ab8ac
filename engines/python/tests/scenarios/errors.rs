// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exceptions, and what reaches the log.

use gangway_abi::ffi::{GW_ERROR, GW_OK};

use super::World;
use crate::host::{Wish, take_log};

pub(crate) fn exceptions(world: &World) {
    let answer = world.get("/raises");
    assert_eq!((answer.status, answer.finished), (None, Some(GW_ERROR)));
    let lines: Vec<&str> = answer.log.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines[0], "Traceback (most recent call last):");
    assert!(lines.iter().any(|line| line.starts_with("  File ") && line.ends_with("in raises")), "{lines:?}");
    let last = lines[lines.len() - 1];
    assert!(
        last.starts_with("GW0306 application \"rules:application\": raised ValueError: <b>wrong</b> at "),
        "{last}"
    );
    assert!(last.contains("rules.py line ") && last.ends_with(" in raises"), "{last}");
    for (path, name) in [("/raises_exit", "SystemExit: 3"), ("/raises_interrupt", "KeyboardInterrupt")] {
        let answer = world.get(path);
        assert_eq!(answer.finished, Some(GW_ERROR));
        assert!(answer.logged(name), "{:?}", answer.log);
    }
    assert_eq!(world.get("/hello").text(), "hello");
}

pub(crate) fn in_the_middle(world: &World) {
    world.app_events();
    let answer = world.get("/raises_in_the_middle");
    assert_eq!((answer.status, answer.text().as_str(), answer.finished), (Some(200), "part", Some(GW_ERROR)));
    assert!(answer.logged("GW0307"));
    assert_eq!(world.app_events(), "block fail close");
    let answer = world.get("/raises_at_once");
    assert_eq!(
        (answer.status, answer.finished),
        (None, Some(GW_ERROR)),
        "nothing has left, so it can still be 500"
    );
    assert_eq!(world.app_events(), "fail close");
}

pub(crate) fn close_raises(world: &World) {
    world.app_events();
    let answer = world.get("/bad_close");
    assert_eq!((answer.text().as_str(), answer.finished, answer.returned), ("fine", Some(GW_OK), GW_OK));
    assert!(answer.logged("GW0310") && answer.logged("RuntimeError: close failed"), "{:?}", answer.log);
    assert_eq!(world.app_events(), "block close");
}

pub(crate) fn debug_page(world: &World) {
    let app = world.app("debugged");
    let answer = world.run_app(app, Wish::path("/raises"));
    assert_eq!((answer.status, answer.finished), (Some(500), Some(GW_OK)));
    let page = answer.text();
    assert!(page.contains("ValueError: &lt;b&gt;wrong&lt;/b&gt;") && !page.contains("<b>wrong"), "{page}");
    assert!(page.contains("rules.py&quot;, line"), "{page}");
    assert_eq!(answer.header("content-length"), [page.len().to_string()]);
    let answer = world.run_app(app, Wish::path("/raises_in_the_middle"));
    assert_eq!((answer.text().as_str(), answer.finished), ("part", Some(GW_ERROR)));
    let answer = world.run_app(app, Wish::path("/never_started"));
    assert_eq!(answer.status, Some(500));
}

pub(crate) fn log_lines(world: &World) {
    world.app("application");
    take_log();
    let answer = world.get("/prints");
    let lines: Vec<&str> = answer.log.iter().map(|(_, line)| line.as_str()).collect();
    let want = ["one 1", "two", "three", "err", "w1", "w2"];
    assert_eq!(lines[..want.len()], want);
    assert!(lines.iter().any(|line| line.contains("UserWarning: careful")), "{lines:?}");
    assert!(lines.contains(&"part\\udcff snowman \u{2603}"), "{lines:?}");
    assert!(lines.contains(&"bytes") && lines.contains(&"descriptor 2"), "{lines:?}");
    let long: Vec<usize> =
        lines.iter().filter(|line| line.starts_with("xxx")).map(|line| line.len()).collect();
    assert_eq!(long, [8192, 8192, 3616]);
    assert_eq!(lines.last(), Some(&"tail"), "a line without end is complete when the request is");
    assert!(!lines.contains(&"from a thread"), "that thread is in no request");
    assert!(take_log().iter().any(|(_, line)| line == "from a thread"));
}

pub(crate) fn signals(world: &World) {
    world.app("application");
    take_log();
    // SAFETY: null asks for the present action only.
    let action = || unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(libc::SIGTERM, std::ptr::null(), &raw mut action);
        action.sa_sigaction
    };
    let before = action();
    assert_eq!(world.get("/sets_signal").text(), "hello");
    assert_eq!(action(), before);
    let log = take_log();
    assert!(
        log.iter().any(|(_, line)| line.starts_with("GW0314 ") && line.contains("rules.py line")),
        "{log:?}"
    );
}
