// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is written into a block is read from it.

use super::*;

fn words() -> Vec<AtomicU64> {
    (0..HEAD + 2 * LANE).map(|_| AtomicU64::new(0)).collect()
}

#[test]
fn a_block_is_somebodys_once() {
    let words = words();
    let block = Block::new(&words);
    assert!(block.is_free() && !block.is_made() && block.lanes().count() == 2);
    assert!(block.make(AppKind::Managed, "blog") && !block.make(AppKind::Cgi, "other"));
    assert!(block.is(AppKind::Managed, "blog"));
    assert!(!block.is(AppKind::Managed, "blo") && !block.is(AppKind::Cgi, "blog"));
    assert_eq!((block.name(), block.kind()), ("blog".to_owned(), Some(AppKind::Managed)));
}

#[test]
fn long_names_are_cut_between_characters() {
    let long = format!("x{}", "\u{20ac}".repeat(99));
    let words = words();
    let block = Block::new(&words);
    assert!(block.make(AppKind::Cgi, &long) && block.is(AppKind::Cgi, &long));
    assert!(block.name().ends_with("\u{20ac}...") && block.name().len() <= 128, "{}", block.name());
}

#[test]
fn what_the_supervisor_says_is_read() {
    let words = words();
    let block = Block::new(&words);
    assert_eq!(block.report(), LifeReport::default());
    block.say(AppLife::Restarting, 3);
    block.count_exit(ExitReason::Died);
    block.count_exit(ExitReason::Lifetime);
    block.count_exit(ExitReason::Finished);
    block.restart_begun(RestartReason::Files);
    block.restart_begun(RestartReason::Configuration);
    let failed = FailedDeploy { generation: 3, at: 1_700_000_000, reason: "ImportError: no module".into() };
    block.restart_failed(&failed);
    let report = block.report();
    assert_eq!((report.life, report.generation), (Some(AppLife::Restarting), 3));
    assert_eq!((report.exits(ExitReason::Died), report.exits(ExitReason::Killed)), (1, 0));
    assert_eq!((report.exits(ExitReason::Finished), report.begun(RestartReason::Command)), (1, 0));
    assert_eq!(
        [RestartReason::Files, RestartReason::Configuration].map(|reason| report.begun(reason)),
        [1, 1]
    );
    assert_eq!((report.failed, report.failed_restarts), (Some(failed), 1));
    block.restarted();
    let report = block.report();
    assert_eq!((report.failed, report.failed_restarts, report.restarts), (None, 1, 1));
    for (index, life) in AppLife::ALL.into_iter().enumerate() {
        assert_eq!(life as usize, index);
    }
    for (index, reason) in ExitReason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index);
    }
    for (index, reason) in RestartReason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index);
    }
}

#[test]
fn a_text_that_is_being_written_is_not_told() {
    let words = words();
    let block = Block::new(&words);
    block.restart_failed(&FailedDeploy { generation: 2, at: 1, reason: "a".into() });
    block.add(EDITION, 1);
    assert_eq!(block.report().failed, None);
}
