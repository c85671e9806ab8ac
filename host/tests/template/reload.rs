// SPDX-License-Identifier: MIT OR Apache-2.0
//! New code of an application in Python, without a reload of the server.

use std::fs;

use gangway::supervise::segment::SlotState;

use crate::{
    harness::{Server, until},
    setup::serving,
};

fn are_others(server: &Server, old: &[u32]) -> Vec<u32> {
    until("others serve", || {
        let now = server.pids(0, SlotState::Ready);
        now.len() == old.len() && !now.iter().any(|pid| old.contains(pid))
    });
    server.pids(0, SlotState::Ready)
}

#[test]
fn a_module_that_changes_replaces_the_processes_and_heals_when_it_changes_again() {
    let server = serving(&["processes=2", "reload=on", "warmup=/up"]);
    let first = server.ready(0, 2);
    let module = server.folder.path().join("app.py");
    let good = fs::read_to_string(&module).unwrap();
    fs::write(&module, format!("{good}\n# changed\n")).unwrap();
    let second = are_others(&server, &first);
    fs::write(&module, "import no_such_module\n").unwrap();
    server.wait_for_line("generation 3 of \"blog\" cannot be started");
    assert_eq!(server.ready(0, 2), second, "the old code serves");
    fs::write(&module, good).unwrap();
    are_others(&server, &second);
    server.wait_for_line("generation 4 of \"blog\" serves");
    let log = server.log();
    assert!(log.contains("app.py\" of \"blog\" has changed"), "{log}");
    assert!(!log.contains("GW0910") && !log.contains("x01file"), "{log}");
}
