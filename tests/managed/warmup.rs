// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request before all others.

use gangway::supervise::segment::SlotState;

use super::harness::Server;

#[test]
fn a_process_is_asked_before_it_gets_requests() {
    let mut server = Server::start();
    server.configure(&[
        &["name=blog", "warmup=/up?deep=1", "chdir=/usr"],
        &["name=wiki", "warmup=/bin/env", "chdir=/usr"],
    ]);
    for (app, parts) in [
        (0, ["REQUEST_METHODGET", "PATH_INFO/up", "QUERY_STRINGdeep=1"]),
        // The path is a file.
        (1, ["SCRIPT_NAME/bin/env", "SCRIPT_FILENAME/usr/bin/env", "DOCUMENT_ROOT/usr"]),
    ] {
        server.ready(app, 1);
        let asked = server.ask(app, server.slots(app, SlotState::Ready)[0], "asked");
        for part in parts {
            assert!(asked.contains(part), "{part}: {asked:?}");
        }
    }
    assert!(!server.log().contains("GW0910"), "{}", server.log());
}

#[test]
fn how_it_is_answered_is_told_and_changes_nothing() {
    let mut server = Server::start();
    server.configure(&[&["name=one", "warmup=/broken"], &["name=two", "warmup=/never", "boot_timeout=4s"]]);
    server.ready(0, 1);
    server.wait_for_line("of \"one\" did not answer warmup=/broken well (the answer was 500)");
    let pid = server.ready(1, 1);
    server.wait_for_line("of \"two\" did not answer warmup=/never well (it was not answered in time)");
    assert_eq!(server.ready(1, 1), pid);
    assert!(!server.log().contains("GW0903"), "{}", server.log());
}
