// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tree of managed processes with real programs, without a web server: this process is its parent and a worker.

mod control;
mod harness;
mod reload;
mod rights;
mod warmup;
mod wear;

use std::{fs, time::Duration};

use gangway::supervise::segment::{Claim, Condition, Owner, SlotState};
use harness::{Server, alive, forked, kill, parent, until};

#[test]
fn processes_start_serve_and_end_with_the_server() {
    let mut server = Server::start();
    server.configure(&[&["processes=2", "name=blog"]]);
    let pids = server.ready(0, 2);
    let facts: Vec<_> =
        server.slots(0, SlotState::Ready).iter().map(|slot| server.ask(0, *slot, "who")).collect();
    assert!(
        facts.iter().all(|facts| pids.iter().any(|pid| facts.contains(&format!("\"pid\": {pid}")))),
        "{facts:?}"
    );
    let (keeper, guard) = (parent(pids[0]), parent(parent(pids[0])));
    let names = [keeper, guard].map(harness::name);
    assert_eq!(names, ["gangway-spawn", "gangway-guard"]);
    let supervisor = server.supervisor(pids[0]);
    let place = server.end();
    until("all have ended", || ![pids[0], pids[1], keeper, guard, supervisor].into_iter().any(alive));
    assert!(!place.exists() || fs::read_dir(&place).unwrap().next().is_none());
}

#[test]
fn a_process_comes_when_a_request_waits_and_goes_when_nobody_comes() {
    let mut server = Server::start();
    server.configure(&[&["processes=0-1", "idle=300ms"]]);
    let (segment, link) = (server.segment(0), server.manager().link().unwrap());
    let Claim::Waits(ticket) = segment.claim(Owner::this_process(), 0) else { panic!("no process is there") };
    assert_eq!(server.slots(0, SlotState::Vacant).len(), 3);
    link.demand(server.pools[0].app).unwrap();
    let place = server.claimed(0, &ticket);
    let pid = segment.slot(place.slot()).pid;
    assert!(server.ask(0, place.slot(), "who").contains(&format!("\"pid\": {pid}")));
    segment.release(Owner::this_process(), place);
    until("it is idle and ends", || !alive(pid));
    until("its slot is free", || server.slots(0, SlotState::Vacant).len() == 3);
}

#[test]
fn a_program_that_ends_at_once_is_tried_with_longer_and_longer_pauses_and_nobody_waits() {
    let mut server = Server::start();
    server.configure(&[&["crash", "name=broken"]]);
    let segment = server.segment(0);
    until("nobody is to wait", || segment.condition() == Condition::Down);
    assert_eq!(segment.claim(Owner::this_process(), 0), Claim::Down);
    let log = server.log();
    for part in [
        "GW0903 a process of \"broken\" ended before it took requests (",
        "in 0.1 s; 1 in a row",
        "in 0.2 s; 2 in a row",
        "in 0.4 s; 3 in a row",
        "it cannot be loaded",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

#[test]
fn what_cannot_be_executed_is_told_with_its_cause() {
    let mut server = Server::start();
    let program = server.folder.path().join("program");
    fs::write(&program, "no program").unwrap();
    server.configure_words(&[vec![program.display().to_string(), "name=plain".into()]]);
    server.wait_for_line("GW0902 a process of \"plain\" could not be started: it cannot be executed");
    server.wait_for_line("3 in a row have failed");
    let log = server.log();
    let count = |part| log.matches(part).count();
    assert_eq!(count("ended before it took requests"), 0, "{log}");
    assert!(count("GW0902") <= count("in a row have failed") + 1, "{log}");
}

#[test]
fn one_that_does_not_come_to_take_requests_is_killed() {
    let mut server = Server::start();
    server.configure(&[&["hang", "boot_timeout=500ms", "name=slow"]]);
    server.wait_for_line("of \"slow\" took no requests within boot_timeout=");
    server.wait_for_line("1 in a row have failed");
}

#[test]
fn a_crash_is_told_and_another_process_takes_its_place() {
    let mut server = Server::start();
    server.configure(&[&["name=blog"]]);
    let before = server.ready(0, 1)[0];
    kill(before, libc::SIGKILL);
    server.wait_for_line("GW0904 a process of \"blog\" ended unexpectedly (it was ended by SIGKILL)");
    until("another one serves", || server.pids(0, SlotState::Ready).iter().any(|pid| *pid != before));
}

#[test]
fn other_words_replace_the_processes_and_running_requests_end_first() {
    let mut server = Server::start();
    server.configure(&[&["processes=2", "env=A=1"], &["name=other"]]);
    let (old, other) = (server.ready(0, 2), server.ready(1, 1));
    let segment = server.segment(0);
    let Claim::Claimed(place) = segment.claim(Owner::this_process(), 0) else { panic!("they are ready") };
    let busy = segment.slot(place.slot()).pid;
    server.configure(&[&["processes=2", "env=A=2"], &["name=other"]]);
    until("two others serve", || {
        let now = server.pids(0, SlotState::Ready);
        now.len() == 2 && now.iter().all(|pid| !old.contains(pid))
    });
    until("the idle one has ended", || old.iter().filter(|pid| alive(**pid)).count() == 1);
    assert!(alive(busy));
    let new = server.slots(0, SlotState::Ready);
    assert!(new.iter().all(|slot| server.ask(0, *slot, "who").contains("\"A\": \"2\"")));
    segment.release(Owner::this_process(), place);
    until("the busy one has ended", || !alive(busy));
    assert_eq!(server.ready(1, 1), other, "the same words, the same process");
    server.wait_for_line("GW0907 generation 2 of \"python3\" serves");
}

#[test]
fn a_generation_that_cannot_be_started_leaves_the_old_one() {
    let mut server = Server::start();
    server.configure(&[&["processes=2"]]);
    let old = server.ready(0, 2);
    server.configure(&[&["crash", "processes=2"]]);
    server.wait_for_line("GW0907 generation 2 of \"python3\" cannot be started");
    server.wait_for_line("3 in a row have failed");
    assert_eq!((server.ready(0, 2), server.segment(0).condition()), (old.clone(), Condition::Up));
    server.configure(&[&["fixed", "processes=2"]]);
    until("the new one serves", || {
        let now = server.pids(0, SlotState::Ready);
        now.len() == 2 && now.iter().all(|pid| !old.contains(pid))
    });
    until("the old one has ended", || !old.iter().any(|pid| alive(*pid)));
}

#[test]
fn an_application_that_leaves_the_configuration_ends() {
    let mut server = Server::start();
    server.configure(&[&["name=one"], &["name=two"]]);
    let (one, two) = (server.ready(0, 1), server.ready(1, 1));
    server.configure(&[&["name=two"]]);
    until("it has ended", || !alive(one[0]));
    assert_eq!(server.ready(0, 1), two);
}

#[test]
fn processes_outlive_the_code_of_the_server_and_are_known_again() {
    let mut server = Server::start();
    let same: &[&str] = &["processes=2", "name=same"];
    server.configure(&[same, &["name=changed", "env=A=1"], &["name=leaves"]]);
    let (stays, old, leaves) = (server.ready(0, 2), server.ready(1, 1), server.ready(2, 1));
    let app = server.pools[1].app;
    for round in 0..3 {
        server.load_anew();
        server.configure(&[same, &["name=changed", "env=A=2"], &["name=comes"]]);
        assert_eq!((server.ready(0, 2), server.pools[1].app), (stays.clone(), app), "round {round}");
    }
    until("the changed one is replaced", || !alive(old[0]));
    until("the one that is gone has ended", || !alive(leaves[0]));
    let (new, comes) = (server.ready(1, 1), server.ready(2, 1));
    server.load_anew();
    assert!(server.manager().running(&harness::parse(&["/usr/bin/python3".into()]).unwrap()).is_none());
    drop(server.end());
    until("all have ended", || ![stays[0], stays[1], new[0], comes[0]].into_iter().any(alive));
}

#[test]
fn what_a_killed_worker_had_is_free_again() {
    let mut server = Server::start();
    server.configure(&[&["name=blog"]]);
    server.ready(0, 1);
    let (segment, manager) = (server.segment(0), server.manager());
    let worker = forked(|| {
        let _link = manager.link().unwrap();
        let _claim = segment.claim(Owner::this_process(), 0);
        harness::sleep_for_ever()
    });
    until("it has a place", || {
        server.slots(0, SlotState::Ready).iter().any(|slot| segment.claims(*slot) == 1)
    });
    let Claim::Waits(ticket) = segment.claim(Owner::this_process(), 0) else { panic!("the place is taken") };
    kill(worker, libc::SIGKILL);
    let place = server.claimed(0, &ticket);
    segment.release(Owner::this_process(), place);
}

#[test]
fn a_supervisor_that_is_killed_is_replaced_and_nothing_is_lost() {
    let mut server = Server::start();
    server.configure(&[&["processes=1-2", "idle=1m"]]);
    let pids = server.ready(0, 1);
    let (segment, link) = (server.segment(0), server.manager().link().unwrap());
    let Claim::Claimed(place) = segment.claim(Owner::this_process(), 0) else { panic!("it is ready") };
    let before = server.supervisor(pids[0]);
    kill(before, libc::SIGKILL);
    until("another supervisor is there", || server.supervisor_now(pids[0]).is_some_and(|now| now != before));
    assert_eq!((server.pids(0, SlotState::Ready), segment.claims(place.slot())), (pids.clone(), 1));
    let Claim::Waits(ticket) = segment.claim(Owner::this_process(), 0) else { panic!("the place is taken") };
    link.demand(server.pools[0].app).unwrap();
    let second = server.claimed(0, &ticket);
    assert_ne!(second.slot(), place.slot());
    // Its output has another reader, and its end is seen.
    assert_eq!(server.ask(0, place.slot(), "lines"), "done");
    server.wait_for_line("and twice");
    kill(pids[0], libc::SIGKILL);
    server.wait_for_line("ended unexpectedly (it was ended by SIGKILL)");
    segment.release(Owner::this_process(), place);
    segment.release(Owner::this_process(), second);
}

#[test]
fn a_keeper_that_is_killed_is_replaced_and_begins_anew() {
    let mut server = Server::start();
    server.configure(&[&["processes=2"], &["stubborn"]]);
    let (pids, stubborn) = (server.ready(0, 2), server.ready(1, 1));
    kill(parent(pids[0]), libc::SIGKILL);
    until("they have ended", || !pids.iter().chain(&stubborn).any(|pid| alive(*pid)));
    until("others serve", || {
        let now = server.pids(0, SlotState::Ready);
        now.len() == 2 && !now.iter().any(|pid| pids.contains(pid) || !alive(*pid))
    });
    let now = server.pids(0, SlotState::Ready);
    let keeper = parent(now[0]);
    assert_eq!(harness::name(keeper), "gangway-spawn");
    server.configure(&[&["processes=2"]]);
    assert_eq!(server.ready(0, 2), now);
}

#[test]
fn when_keeper_and_guard_are_killed_the_next_configuration_makes_others() {
    let mut server = Server::start();
    server.configure(&[&["processes=1"]]);
    let pid = server.ready(0, 1)[0];
    let keeper = parent(pid);
    kill(parent(keeper), libc::SIGKILL);
    kill(keeper, libc::SIGKILL);
    until("the process has ended", || !alive(pid));
    server.configure(&[&["processes=1"]]);
    until("another one serves", || server.pids(0, SlotState::Ready).iter().any(|now| *now != pid));
}

#[test]
fn a_guard_that_is_killed_is_replaced_by_the_next_configuration() {
    let mut server = Server::start();
    server.configure(&[&["name=blog"]]);
    let old = server.ready(0, 1)[0];
    let segment = server.segment(0);
    let Claim::Claimed(place) = segment.claim(Owner::this_process(), 0) else { panic!("it is ready") };
    // The old tree lives as long as a worker of the old configuration.
    let link = server.manager().link().unwrap();
    let (keeper, guard) = (parent(old), parent(parent(old)));
    kill(guard, libc::SIGKILL);
    until("the guard has ended", || !alive(guard));
    server.configure(&[&["name=blog"]]);
    let new = server.ready(0, 1)[0];
    assert_eq!(harness::name(parent(parent(new))), "gangway-guard");
    assert_ne!(new, old, "another tree has begun");
    assert!(alive(old), "its request still runs: {}", server.log());
    segment.release(Owner::this_process(), place);
    until("the old one has ended", || !alive(old));
    drop(link);
    until("so has its keeper", || !alive(keeper));
    kill(parent(new), libc::SIGKILL);
    until("another keeper is there", || {
        server.pids(0, SlotState::Ready).iter().any(|now| *now != new && alive(*now))
    });
}

#[test]
fn applications_with_the_same_program_have_names_of_their_own() {
    let mut server = Server::start();
    server.configure(&[&["env=A=1"], &["env=A=2"], &["name=blog"], &["env=A=1"]]);
    let names = |server: &Server| server.pools.iter().map(|pool| pool.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&server), ["python3", "python3-2", "blog", "python3"]);
    server.configure(&[&["env=A=2"], &["env=A=3"]]);
    assert_eq!(names(&server), ["python3-2", "python3"]);
    server.ready(0, 1);
    kill(server.pids(0, SlotState::Ready)[0], libc::SIGKILL);
    server.wait_for_line("a process of \"python3-2\" ended unexpectedly");
}

#[test]
fn when_the_parent_is_killed_processes_serve_until_the_last_worker_has_ended() {
    let (reader, writer) = std::io::pipe().unwrap();
    let master = forked(|| {
        let mut server = Server::start();
        server.configure(&[&["processes=1"]]);
        let pid = server.ready(0, 1)[0];
        let worker = forked(harness::sleep_for_ever);
        harness::say(&writer, &[pid, worker]);
        harness::sleep_for_ever()
    });
    drop(writer);
    let [pid, worker] = harness::hear(reader);
    let (keeper, guard) = (parent(pid), parent(parent(pid)));
    kill(master, libc::SIGKILL);
    until("the parent has ended", || !alive(master));
    assert!(alive(pid) && alive(keeper));
    kill(worker, libc::SIGKILL);
    until("everything has ended", || ![pid, keeper, guard].into_iter().any(alive));
}

#[test]
fn who_ignores_term_is_killed_with_all_that_it_has_started() {
    let mut server = Server::start();
    server.configure(&[&["stubborn", "name=a"], &["forks", "name=b"], &["daemon", "name=c"]]);
    let pids: Vec<u32> = (0..3).map(|app| server.ready(app, 1)[0]).collect();
    let child = |app| {
        let slot = server.slots(app, SlotState::Ready)[0];
        let facts = server.ask(app, slot, "who");
        let text = facts.split("\"child\": ").nth(1).unwrap().trim_end_matches('}').to_owned();
        text.parse::<u32>().unwrap()
    };
    let children = [child(1), child(2)];
    assert!(children.into_iter().all(alive));
    server.end();
    until("all have ended", || !pids.iter().chain(&children).any(|pid| alive(*pid)));
}

#[test]
fn an_idle_tree_costs_no_time() {
    let mut server = Server::start();
    server.configure(&[&["processes=2"], &["processes=0-3", "name=b"]]);
    let pid = server.ready(0, 2)[0];
    let keeper = parent(pid);
    let supervisor = server.supervisor(pid);
    harness::rest(&[keeper, supervisor], Duration::from_secs(3));
}
