// SPDX-License-Identifier: MIT OR Apache-2.0
//! Users: what a process gets, what it cannot reach, and who may say what.

use std::fs;

use gangway::supervise::segment::SlotState;

use super::harness::{self, Server, alive, forked, is_root, kill, until, user};

#[test]
fn nothing_of_the_server_reaches_a_process() {
    let mut server = Server::start();
    // What this process has open, blocks and ignores stands for what a server does.
    let _open = fs::File::open("/dev/null").unwrap();
    let words = ["env=A=1", "umask=027", "chdir=/usr", "nice=3", "files=64", "memory=2g", "cpu=60s"];
    server.configure(&[&words]);
    let pid = server.ready(0, 1)[0];
    let facts = server.ask(0, server.slots(0, SlotState::Ready)[0], "who");
    let environment = facts.split("\"environment\": {").nth(1).unwrap().split('}').next().unwrap();
    let names: Vec<&str> =
        environment.split('"').skip(1).step_by(4).filter(|name| *name != "LC_CTYPE").collect();
    // It is a program as php-cgi is.
    assert_eq!(names, ["PATH", "PHP_FCGI_MAX_REQUESTS", "A"], "{environment}");
    for part in [
        "\"more\": []",
        "\"signals\": [\"0000000000000000\", \"0000000001001000\"]",
        "\"umask\": \"0027\"",
        "\"directory\": \"/usr\"",
        "\"nice\": 3",
        &format!("\"group\": {pid}"),
    ] {
        assert!(facts.contains(part), "{part}: {facts}");
    }
    for (limit, value) in
        [("Max open files", "64"), ("Max address space", "2147483648"), ("Max cpu time", "60")]
    {
        let line = facts.split("\\n").find(|line| line.contains(limit)).unwrap();
        assert!(line[limit.len()..].trim_start().starts_with(value), "{line}");
    }
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    assert!(!maps.contains("memfd:"), "{maps}");
}

#[test]
fn applications_of_two_users_are_closed_to_each_other_and_to_the_workers() {
    if !is_root() {
        return;
    }
    let mut server = Server::start();
    server.configure(&[&["user=nobody", "name=a"], &["name=b"]]);
    server.ready(0, 1);
    server.ready(1, 1);
    let (one, two) = (server.slots(0, SlotState::Ready)[0], server.slots(1, SlotState::Ready)[0]);
    let uid = |facts: String| facts.split("\"uid\": ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert_eq!(uid(server.ask(0, one, "who")), user("nobody").user.to_string());
    assert_eq!(uid(server.ask(1, two, "who")), server.worker.user.to_string());
    let path = server.segment(1).socket_path(two);
    assert_eq!(server.ask(0, one, &format!("connect {}", path.display())), "PermissionError");
}

#[test]
fn with_user_a_program_that_others_can_change_is_refused() {
    if !is_root() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let mut server = Server::start();
    let program = server.folder.path().join("program");
    fs::write(&program, "#!/bin/sh\nexec sleep 60\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    server.configure_words(&[vec![program.display().to_string(), "user=nobody".into()]]);
    server.wait_for_line("user= refuses it: the file may be written by others");
}

#[test]
fn a_server_without_rights_has_processes_of_its_own_user() {
    if !is_root() {
        return;
    }
    let (reader, writer) = std::io::pipe().unwrap();
    let master = forked(|| {
        harness::become_user(&user("nobody"));
        let mut server = Server::start();
        server.configure(&[&["processes=1"]]);
        let pid = server.ready(0, 1)[0];
        let refused = harness::parse(&["/bin/sh".to_owned(), "user=nobody".into()]).is_err();
        harness::say(&writer, &[pid, u32::from(refused)]);
        harness::sleep_for_ever()
    });
    drop(writer);
    let [pid, refused] = harness::hear(reader);
    assert_eq!((harness::uid(pid), refused), (user("nobody").user, 1));
    kill(master, libc::SIGKILL);
    until("everything has ended", || !alive(pid));
}

#[test]
fn a_run_directory_of_somebody_else_is_refused() {
    let server = Server::start();
    let link = server.folder.path().join("link");
    std::os::unix::fs::symlink(server.folder.path().join("run"), &link).unwrap();
    let error = server.start_at(&link).unwrap_err().to_string();
    assert!(error.contains("is a link or no directory"), "{error}");
}

#[test]
fn who_is_not_the_parent_cannot_say_what_applications_there_are() {
    if !is_root() {
        return;
    }
    let mut server = Server::start();
    server.configure(&[&["name=blog"]]);
    let pid = server.ready(0, 1)[0];
    let worker = server.worker.clone();
    let manager = server.manager_mut();
    let child = forked(|| {
        harness::become_user(&worker);
        // The same call that the parent makes.
        let _ = manager.configure(&[], std::os::fd::AsFd::as_fd(&std::io::stderr()));
        harness::sleep_for_ever()
    });
    // A message that comes after that one shows that it was read.
    server.configure(&[&["name=blog"], &["name=second"]]);
    server.ready(1, 1);
    assert!(alive(pid) && server.ready(0, 1) == [pid]);
    kill(child, libc::SIGKILL);
}
