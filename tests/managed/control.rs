// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control socket.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    fs,
    io::Read,
    os::unix::{fs::PermissionsExt, net::UnixStream},
};

use gangway::{
    rights::Identity,
    supervise::{
        control::{ControlRefusal, Question, Record},
        segment::{Claim, Condition, Owner, SlotState},
    },
};

use super::harness::{self, Server, alive, forked, is_root, kill, until, user};

fn status(server: &Server) -> Vec<Record> {
    server.control_says(&Question::Status).unwrap()
}

/// What is said of an application.
fn of(records: &[Record], name: &str) -> Record {
    let is_it = |record: &&Record| record.kind == "application" && record.text_of("name") == Some(name);
    records.iter().find(is_it).unwrap().clone()
}

fn restart(name: &str) -> Question {
    Question::Restart(name.to_owned())
}

#[test]
fn who_asks_is_told_what_runs() {
    let mut server = Server::start();
    server.configure(&[&["processes=2", "name=blog"], &["processes=0-3", "name=wiki"]]);
    let pids = server.ready(0, 2);
    let segment = server.segment(0);
    let Claim::Claimed(place) = segment.claim(Owner::this_process(), 0) else { panic!("they are ready") };
    let records = status(&server);
    let (blog, wiki) = (of(&records, "blog"), of(&records, "wiki"));
    assert_eq!((blog.text_of("state"), wiki.text_of("state")), (Some("serving"), Some("idle")));
    assert_eq!(blog.text_of("user"), Some(server.worker.name.as_str()));
    for (key, number) in [("generation", 1), ("waiting", 0), ("least", 2), ("most", 2)] {
        assert_eq!(blog.number_of(key), Some(number), "{key}");
    }
    let processes: Vec<_> = records.iter().filter(|record| record.kind == "process").collect();
    let number = |key: &str| processes.iter().filter_map(|record| record.number_of(key)).collect::<Vec<_>>();
    assert_eq!(number("pid"), pids.iter().map(|pid| u64::from(*pid)).collect::<Vec<_>>());
    assert_eq!((number("requests").iter().sum::<u64>(), number("running").iter().sum::<u64>()), (1, 1));
    assert!(number("rss_bytes").iter().all(|bytes| *bytes > 1 << 20), "{processes:?}");
    assert!(number("age_seconds").iter().all(|age| *age < 600), "{processes:?}");
    assert_eq!((number("rss_bytes").len(), number("age_seconds").len()), (2, 2));
    segment.release(Owner::this_process(), place);
}

#[test]
fn a_restart_replaces_the_processes_and_running_requests_end_first() {
    let mut server = Server::start();
    server.configure(&[&["processes=2", "name=blog"], &["name=wiki"]]);
    let (old, wiki) = (server.ready(0, 2), server.ready(1, 1));
    let segment = server.segment(0);
    let Claim::Claimed(place) = segment.claim(Owner::this_process(), 0) else { panic!("they are ready") };
    let busy = segment.slot(place.slot()).pid;
    let answer = server.control_says(&restart("blog")).unwrap();
    assert_eq!(answer[0].number_of("generation"), Some(2));
    until("two others serve", || {
        let now = server.pids(0, SlotState::Ready);
        now.len() == 2 && now.iter().all(|pid| !old.contains(pid))
    });
    assert!(alive(busy));
    segment.release(Owner::this_process(), place);
    until("the old ones have ended", || !old.iter().any(|pid| alive(*pid)));
    assert_eq!(server.ready(1, 1), wiki);
    assert_eq!(of(&status(&server), "blog").number_of("generation"), Some(2));
    server.wait_for_line("has asked for a restart of \"blog\"");
    assert_eq!(server.control_says(&restart("blo")), Err(ControlRefusal::Unknown));
}

#[test]
fn code_that_cannot_be_started_is_told_until_it_can() {
    let mut server = Server::start();
    server.configure(&[&["name=blog"]]);
    let old = server.ready(0, 1);
    let program = server.folder.path().join("program.py");
    let good = fs::read(&program).unwrap();
    fs::write(&program, "raise SystemExit(7)").unwrap();
    server.control_says(&restart("blog")).unwrap();
    until("it is told", || of(&status(&server), "blog").number_of("failed_generation") == Some(2));
    let blog = of(&status(&server), "blog");
    assert!(blog.text_of("failed_reason").unwrap().contains('7'), "{blog:?}");
    assert_eq!(blog.text_of("state"), Some("restarting"));
    assert_eq!(server.ready(0, 1), old);
    fs::write(&program, good).unwrap();
    until("another one serves", || server.pids(0, SlotState::Ready).iter().any(|pid| !old.contains(pid)));
    let blog = of(&status(&server), "blog");
    assert_eq!((blog.number_of("failed_generation"), blog.text_of("state")), (None, Some("serving")));
}

#[test]
fn one_that_is_stopped_stays_so_until_it_is_started() {
    let mut server = Server::start();
    server.configure(&[&["name=blog"], &["name=wiki"]]);
    let (pid, wiki) = (server.ready(0, 1)[0], server.ready(1, 1));
    server.control_says(&Question::Stop("blog".into())).unwrap();
    until("it has ended", || !alive(pid));
    let segment = server.segment(0);
    assert_eq!(segment.claim(Owner::this_process(), 0), Claim::Down);
    assert_eq!(server.control_says(&restart("blog")), Err(ControlRefusal::Stopped));
    // Neither another supervisor nor a reload starts it, with the same words or with others.
    let before = server.supervisor(wiki[0]);
    kill(before, libc::SIGKILL);
    until("another supervisor is there", || server.supervisor_now(wiki[0]).is_some_and(|now| now != before));
    for words in [&["name=blog"][..], &["name=blog", "env=A=1"], &["name=blog", "processes=2"]] {
        server.configure(&[words, &["name=wiki"]]);
        // With other words the application of before leaves beside it.
        until("the one that left is gone", || {
            of(&status(&server), "blog").text_of("state") != Some("leaving")
        });
        let blog = of(&status(&server), "blog");
        assert_eq!(blog.text_of("state"), Some("stopped"), "{words:?}");
        assert_eq!(server.segment(0).condition(), Condition::Down, "{words:?}");
    }
    until("the last configuration counts", || {
        status(&server).iter().any(|record| record.number_of("most") == Some(2))
    });
    server.control_says(&Question::Start("blog".into())).unwrap();
    server.ready(0, 2);
    assert_eq!(server.ready(1, 1), wiki);
    server.wait_for_line("has stopped \"blog\"");
    server.wait_for_line("has started \"blog\"");
}

#[test]
fn an_owner_sees_and_does_what_is_his_own() {
    if !is_root() {
        return;
    }
    let mut server = Server::start();
    server.configure(&[&["user=nobody", "name=his"], &["name=other"]]);
    let (his, other) = (server.ready(0, 1), server.ready(1, 1));
    let (reader, writer) = std::io::pipe().unwrap();
    let child = forked(|| {
        harness::become_user(&user("nobody"));
        let names = status(&server).iter().filter(|record| record.kind == "application").count();
        let refused = [restart("other"), Question::Stop("other".into()), Question::Start("other".into())]
            .iter()
            .filter(|question| server.control_says(question) == Err(ControlRefusal::Unknown))
            .count();
        assert!(server.control_says(&restart("his")).is_ok());
        harness::say(&writer, &[names as u32, refused as u32]);
        harness::sleep_for_ever()
    });
    drop(writer);
    assert_eq!(harness::hear(reader), [1, 3]);
    kill(child, libc::SIGKILL);
    until("his is another one", || server.pids(0, SlotState::Ready).iter().any(|pid| !his.contains(pid)));
    assert_eq!(server.ready(1, 1), other);
    // What may be reached is the socket, and nothing else.
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let control = server.control();
    let run = server.folder.path().join("run");
    assert_eq!((mode(&control), mode(&control.with_extension("")), mode(&run)), (0o666, 0o700, 0o755));
}

#[test]
fn a_stranger_is_told_nothing_whatever_he_asks() {
    if !is_root() {
        return;
    }
    let mut server = Server::start();
    server.configure(&[&["user=nobody", "name=his"], &["name=other"]]);
    let (his, other) = (server.ready(0, 1), server.ready(1, 1));
    // Something is known of it.
    kill(his[0], libc::SIGKILL);
    until("another one serves", || server.pids(0, SlotState::Ready).iter().any(|pid| !his.contains(pid)));
    assert!(
        server.control_says(&Question::Why(None)).unwrap().iter().any(|record| record.kind == "incident")
    );
    let now = server.ready(0, 1);
    let (reader, writer) = std::io::pipe().unwrap();
    let child = forked(|| {
        let stranger = 54_321;
        let identity = Identity { name: String::new(), user: stranger, group: stranger, groups: Vec::new() };
        harness::become_user(&identity);
        let told = |question: &Question| server.control_says(question);
        let names = ["his", "other", "none", "nobody"];
        let commands = names.iter().flat_map(|name| {
            let name = (*name).to_owned();
            [restart(&name), Question::Stop(name.clone()), Question::Start(name)]
        });
        let refused = commands.filter(|command| told(command) == Err(ControlRefusal::Unknown)).count();
        let ids = [his[0], now[0], other[0]].map(|pid| Question::Why(Some(pid.to_string())));
        let untold = ids.iter().filter(|question| told(question) == Err(ControlRefusal::Untold)).count();
        let incidents = told(&Question::Why(None)).map_or(9, |records| records.len());
        // That there is a server.
        let status = told(&Question::Status).unwrap();
        let is_server = status.len() == 1 && status[0].kind == "server";
        harness::say(
            &writer,
            &[(100 * refused + untold) as u32, (10 * incidents + usize::from(is_server)) as u32],
        );
        harness::sleep_for_ever()
    });
    drop(writer);
    assert_eq!(harness::hear(reader), [1203, 1]);
    kill(child, libc::SIGKILL);
    assert_eq!((server.ready(0, 1), server.ready(1, 1)), (now, other));
    assert!(!server.log().contains("has asked for") && !server.log().contains("has stopped"));
}

#[test]
fn who_says_nothing_or_nonsense_holds_nobody_up() {
    let mut server = Server::start();
    server.configure(&[&["name=blog"]]);
    let pid = server.ready(0, 1)[0];
    let control = server.control();
    for line in
        [&b"\n"[..], b"GET / HTTP/1.1\r\n", b"gangway 1 restart \n", &[b'x'; 600], b"gangway 1 stop \xff\n"]
    {
        let answer = harness::talk(&control, line);
        // Who has more to say when it is refused may hear of the end alone.
        let said = answer.as_deref().unwrap_or("gangway 1 no misunderstood\nend\n");
        assert_eq!(said, "gangway 1 no misunderstood\nend\n", "{line:?}");
    }
    // One user has four at a time; the fifth one is closed at once.
    let silent: Vec<_> = (0..4).map(|_| UnixStream::connect(&control).unwrap()).collect();
    assert_eq!(UnixStream::connect(&control).unwrap().read(&mut [0; 8]).unwrap_or(0), 0);
    // The supervisor goes on with its work.
    kill(pid, libc::SIGKILL);
    until("another one serves", || server.pids(0, SlotState::Ready).iter().any(|now| *now != pid));
    // Their time is over without that they have said anything.
    for mut stream in silent {
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
    }
    assert_eq!(of(&status(&server), "blog").text_of("state"), Some("serving"));
}

#[test]
fn other_users_who_come_in_crowds_do_not_keep_root_out() {
    if !is_root() {
        return;
    }
    let mut server = Server::start();
    server.configure(&[&["name=blog"]]);
    server.ready(0, 1);
    let control = server.control();
    let (reader, writer) = std::io::pipe().unwrap();
    let child = forked(|| {
        harness::become_user(&user("nobody"));
        let crowd: Vec<_> = (0..100).filter_map(|_| UnixStream::connect(&control).ok()).collect();
        harness::say(&writer, &[crowd.len() as u32, 0]);
        harness::sleep_for_ever()
    });
    drop(writer);
    assert_eq!(harness::hear(reader)[0], 100);
    assert_eq!(of(&status(&server), "blog").text_of("state"), Some("serving"));
    kill(child, libc::SIGKILL);
}

#[test]
fn the_socket_ends_with_the_server() {
    let mut server = Server::start();
    server.configure(&[&["name=blog"]]);
    let control = server.control();
    server.end();
    until("it is gone", || !control.exists());
}
