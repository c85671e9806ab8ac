// SPDX-License-Identifier: MIT OR Apache-2.0
//! What forked processes are like, and what becomes of them and of their template.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use gangway::supervise::segment::SlotState;

use crate::{
    harness::{self, alive, is_root, kill, parent, until, user},
    setup::{Facts, answer, application, placed, server, serving},
};

/// A file to which the application writes that it waits for the end of the file.
fn held(server: &harness::Server) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = server.folder.path().join("hold");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    path
}

fn shown(pid: u32) -> String {
    let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.trim_end_matches('\0').replace('\0', " ")
}

#[test]
fn processes_are_forked_from_one_that_has_loaded_the_application() {
    let mut server = serving(&["processes=3"]);
    let pids = server.ready(0, 3);
    let facts = Facts::of(&server, 0);
    let template = facts[0].number("imported_by");
    let keeper = parent(template);
    assert_eq!(
        (harness::name(template).as_str(), harness::name(keeper).as_str()),
        ("gw-template", "gangway-spawn")
    );
    assert_eq!(shown(template), "gangway-host: template of app:application");
    for (pid, facts) in pids.iter().zip(&facts) {
        assert_eq!(facts.number("pid"), *pid);
        assert_eq!(
            (facts.number("imported_by"), facts.number("group"), parent(*pid)),
            (template, *pid, keeper)
        );
        let name = harness::name(*pid);
        assert!(matches!(name.as_str(), "app:applic idle" | "app:applica 1/8"), "{name}");
        let shown = shown(*pid);
        let state = shown.strip_prefix("gangway-host: app:application ");
        assert!(matches!(state, Some("(idle)" | "(1 of 8 busy)")), "{shown}");
        assert_eq!(
            (facts.text("thread"), facts.text("main"), facts.text("child")),
            ("[\"begun\"]", "\"MainThread\"", "0")
        );
        assert!(facts.text("forks").ends_with("\"before\", \"child\"]"), "{}", facts.text("forks"));
        let fds = facts.text("fds");
        assert!(fds.contains("\"0\": \"/dev/null\"") && fds.contains("(deleted)"), "{fds}");
        // Its listening socket, the connection of this request and perhaps that of the supervisor's question, which has ended.
        assert!((2..=3).contains(&fds.matches("socket:").count()), "{fds}");
    }
    for key in ["random", "bytes"] {
        let different: BTreeSet<_> = facts.iter().map(|facts| facts.text(key)).collect();
        assert_eq!(different.len(), 3, "{key}: {different:?}");
    }
    server.end();
    until("all have ended", || !pids.iter().chain([&template, &keeper]).any(|pid| alive(*pid)));
}

#[test]
fn with_preload_off_each_process_loads_the_application() {
    let server = serving(&["processes=2", "preload=off"]);
    server.ready(0, 2);
    assert!(Facts::of(&server, 0).iter().all(|facts| facts.number("imported_by") == facts.number("pid")));
}

#[test]
fn a_process_that_is_killed_is_replaced_by_the_template() {
    let server = serving(&["processes=1"]);
    let before = server.ready(0, 1)[0];
    let template = Facts::of(&server, 0)[0].number("imported_by");
    let begun = Instant::now();
    kill(before, libc::SIGKILL);
    let facts = Facts::of_another(&server, before);
    println!("replaced after {:?}", begun.elapsed());
    assert_eq!(facts.number("imported_by"), template);
}

#[test]
fn when_the_template_dies_processes_serve_on_and_another_one_is_loaded() {
    let server = serving(&["processes=1"]);
    let pid = server.ready(0, 1)[0];
    let template = Facts::of(&server, 0)[0].number("imported_by");
    kill(template, libc::SIGKILL);
    server.wait_for_line("GW0904 the template of \"blog\" ended unexpectedly (it was ended by SIGKILL)");
    assert_eq!((server.ready(0, 1)[0], alive(pid)), (pid, true));
    assert_eq!(answer(&server, 0, server.slots(0, SlotState::Ready)[0]).status(), 200);
    let keeper = parent(pid);
    let others = || {
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
        let children = children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap());
        children.filter(|pid| shown(*pid).contains("template of")).collect::<Vec<_>>()
    };
    until("another template is loaded", || others().iter().any(|other| *other != template));
    kill(pid, libc::SIGKILL);
    let imported = Facts::of_another(&server, pid).number("imported_by");
    assert_ne!(imported, template);
}

#[test]
fn code_that_cannot_be_loaded_leaves_the_old_processes_and_says_why() {
    let mut server = serving(&["processes=2", "env=VERSION=1"]);
    let old = server.ready(0, 2);
    let broken = application(&server, &["processes=2", "env=VERSION=2", "env=HOW=fails"]);
    server.configure_managed(&[broken]);
    server.wait_for_line(
        "GW0907 generation 2 of \"blog\" cannot be started (RuntimeError: the database is not there",
    );
    server.wait_for_line("raise RuntimeError(");
    server.wait_for_line("2 in a row have failed");
    assert_eq!(server.ready(0, 2), old);
    let whole = application(&server, &["processes=2", "env=VERSION=3"]);
    server.configure_managed(&[whole]);
    until("the new ones serve", || {
        let now = server.pids(0, SlotState::Ready);
        now.len() == 2 && !now.iter().any(|pid| old.contains(pid))
    });
    let facts = Facts::of(&server, 0);
    assert!(facts.iter().all(|facts| facts.text("version") == "\"3\""));
    assert_eq!(facts[0].number("imported_by"), facts[1].number("imported_by"));
    until("the old ones have ended", || !old.iter().any(|pid| alive(*pid)));
}

#[test]
fn code_that_cannot_be_loaded_at_first_answers_500() {
    let server = serving(&["env=HOW=fails"]);
    server.ready(0, 1);
    server.wait_for_line("GW0903 the template of \"blog\" cannot load the application (RuntimeError: the database is not there");
    assert_eq!(answer(&server, 0, server.slots(0, SlotState::Ready)[0]).status(), 500);
}

#[test]
fn a_template_that_ends_while_it_loads_is_told() {
    let server = serving(&["env=HOW=exits"]);
    server.wait_for_line(
        "GW0903 the template of \"blog\" cannot load the application (it ended with status 3)",
    );
    server
        .wait_for_line("GW0903 a process of \"blog\" ended before it took requests (it ended with status 3)");
}

#[test]
fn threads_of_the_import_are_told() {
    let server = serving(&["env=HOW=threads"]);
    server.ready(0, 1);
    server
        .wait_for_line("GW0318 \"app:application\" has started threads while it was imported (\"metrics\")");
    server.wait_for_line("or set preload=off");
    let facts = Facts::of(&server, 0);
    assert_ne!(facts[0].number("imported_by"), facts[0].number("pid"));
}

#[test]
fn an_application_that_lies_to_the_keeper_loses_its_template_and_nothing_else_happens() {
    for how in ["hostile", "repeats", "forks"] {
        let mut server = server();
        let hostile = application(&server, &[&format!("env=HOW={how}")]);
        let other = application(&server, &["name=other"]);
        server.configure_managed(&[hostile, other]);
        let other = server.ready(1, 1);
        server.wait_for_line("(it was ended by SIGKILL)");
        assert!(server.log().contains("the template of \"blog\""), "{how}: {}", server.log());
        server.ready(0, 1);
        assert_eq!(answer(&server, 0, server.slots(0, SlotState::Ready)[0]).status(), 200, "{how}");
        assert_eq!(server.ready(1, 1), other, "{how}");
    }
}

#[test]
fn a_process_that_is_told_to_end_runs_exit_handlers_and_the_template_does_not() {
    let mut server = server();
    let path = server.folder.path().join("ends");
    fs::write(&path, "").unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let managed = application(&server, &[&format!("env=ENDS={}", path.display())]);
    server.configure_managed(&[managed]);
    let pid = server.ready(0, 1)[0];
    let template = Facts::of(&server, 0)[0].number("imported_by");
    kill(pid, libc::SIGTERM);
    until("it has ended", || !alive(pid));
    kill(template, libc::SIGTERM);
    until("it has ended too", || !alive(template));
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{pid}\n"));
}

#[test]
fn when_the_keeper_is_killed_its_templates_and_what_they_have_made_end() {
    let server = serving(&["processes=2"]);
    let pids = server.ready(0, 2);
    let template = Facts::of(&server, 0)[0].number("imported_by");
    kill(parent(pids[0]), libc::SIGKILL);
    until("they have ended", || !pids.iter().chain([&template]).any(|pid| alive(*pid)));
    until("others serve", || {
        let now = server.pids(0, SlotState::Ready);
        now.len() == 2 && !now.iter().any(|pid| pids.contains(pid) || !alive(*pid))
    });
}

#[test]
fn another_supervisor_keeps_the_processes_and_their_template() {
    let server = serving(&["processes=2"]);
    let pids = server.ready(0, 2);
    let template = Facts::of(&server, 0)[0].number("imported_by");
    let before = server.supervisor(pids[0]);
    kill(before, libc::SIGKILL);
    until("another one is there", || server.supervisor_now(pids[0]).is_some_and(|now| now != before));
    assert_eq!(server.ready(0, 2), pids);
    for pid in pids {
        kill(pid, libc::SIGKILL);
        until("another one serves", || {
            let now = server.pids(0, SlotState::Ready);
            now.len() == 2 && !now.contains(&pid)
        });
    }
    let facts = Facts::of(&server, 0);
    assert!(facts.iter().all(|facts| facts.number("imported_by") == template), "{}", server.log());
    // What it writes has a reader, and its end is noticed.
    kill(template, libc::SIGKILL);
    server.wait_for_line("GW0904 the template of \"blog\" ended unexpectedly (it was ended by SIGKILL)");
}

#[test]
fn another_supervisor_waits_for_a_template_that_still_loads() {
    let mut server = server();
    let hold = held(&server);
    let managed =
        application(&server, &["processes=1", "env=HOW=loads", &format!("env=HOLD={}", hold.display())]);
    server.configure_managed(&[managed]);
    let loaded_by = || fs::read_to_string(&hold).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    until("it loads", || !loaded_by().is_empty());
    let template: u32 = loaded_by()[0].parse().unwrap();
    let before = server.supervisor(template);
    kill(before, libc::SIGKILL);
    until("another one is there", || server.supervisor_now(template).is_some_and(|now| now != before));
    fs::remove_file(&hold).unwrap();
    server.ready(0, 1);
    assert_eq!(Facts::of(&server, 0)[0].number("imported_by"), template);
}

#[test]
fn a_process_that_is_wanted_no_more_before_it_was_forked_is_no_failure() {
    let mut server = server();
    let hold = held(&server);
    let words = ["env=HOW=forks-late".to_owned(), format!("env=HOLD={}", hold.display())];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let managed = application(&server, &words);
    server.configure_managed(&[managed]);
    until("it is about to fork", || !fs::read_to_string(&hold).unwrap().is_empty());
    let managed = application(&server, &["env=VERSION=2"]);
    server.configure_managed(&[managed]);
    server.ready(0, 1);
    assert_eq!(Facts::of(&server, 0)[0].text("version"), "\"2\"");
    fs::remove_file(&hold).unwrap();
    assert!(!server.log().contains("GW0902"), "{}", server.log());
}

#[test]
fn an_application_that_nobody_asks_has_no_template() {
    let server = serving(&["processes=0-1", "idle=300ms"]);
    let (segment, link) = (server.segment(0), server.manager().link().unwrap());
    let claim = || segment.claim(gangway::supervise::segment::Owner::this_process(), 0);
    let gangway::supervise::segment::Claim::Waits(ticket) = claim() else { panic!("no process is there") };
    link.demand(server.pools[0].app).unwrap();
    let place = server.claimed(0, &ticket);
    let facts = Facts::of(&server, 0);
    let (pid, template) = (facts[0].number("pid"), facts[0].number("imported_by"));
    assert_ne!(pid, template);
    segment.release(gangway::supervise::segment::Owner::this_process(), place);
    until("both have ended", || !alive(pid) && !alive(template));
}

#[test]
fn an_idle_template_costs_no_time() {
    let server = serving(&["processes=1"]);
    let pid = server.ready(0, 1)[0];
    let template = Facts::of(&server, 0)[0].number("imported_by");
    harness::rest(&[template, parent(template)], Duration::from_secs(2));
    assert!(alive(pid));
}

#[test]
fn templates_of_two_users_are_theirs() {
    if !is_root() {
        return;
    }
    let mut server = server();
    let managed = [application(&server, &["user=nobody"]), application(&server, &["name=other"])];
    server.configure_managed(&managed);
    server.ready(0, 1);
    server.ready(1, 1);
    let users = [user("nobody").user, server.worker.user];
    for (app, user) in users.into_iter().enumerate() {
        let facts = Facts::of(&server, app).remove(0);
        let (pid, template) = (facts.number("pid"), facts.number("imported_by"));
        assert_eq!((harness::uid(pid), harness::uid(template), facts.number("uid")), (user, user, user));
        let count = fs::read_dir(format!("/proc/{template}/fd")).unwrap().count();
        assert!(count <= 6, "0 to 2, the way to gangway-spawn and the application's own: {count}");
    }
}

#[test]
fn preload_is_a_word_of_applications_of_engines_that_can_be_forked() {
    let server = server();
    for (word, part) in [("preload=maybe", "it must be on or off"), ("preload=", "it is empty")] {
        let error = placed(&server, &["processes=1", word]).unwrap_err();
        assert!(error.contains(part), "{word}: {error}");
    }
    let error = placed(&server, &["preload=off"]).unwrap_err();
    assert!(error.contains("add processes=N or user=NAME"), "{error}");
}
