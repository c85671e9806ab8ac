// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every log code has its entry in docs/errors.md, and every entry its code.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::BTreeMap;

use gangway_python_shared::codes::Code;

/// Titles by code.
type Titles = BTreeMap<String, String>;

fn of_the_core() -> Titles {
    gangway::error::ALL.iter().map(|code| (code.to_string(), code.title.to_owned())).collect()
}

/// The table of the Python engine, which does not know the core.
fn of_the_engine() -> Titles {
    Code::ALL.iter().map(|code| (code.to_string(), code.cause().to_owned())).collect()
}

struct Entry<'a> {
    code: &'a str,
    title: &'a str,
    text: &'a str,
}

const PAGE: &str = include_str!("../docs/errors.md");

fn entries() -> Vec<Entry<'static>> {
    let entry = |section: &'static str| {
        let (heading, text) = section.split_once('\n').unwrap();
        let (code, title) = heading.split_once(' ').unwrap();
        let text = text.split("\n## ").next().unwrap();
        Entry { code, title, text }
    };
    PAGE.split("\n### ").skip(1).map(entry).collect()
}

#[test]
fn the_page_has_the_codes_and_no_others() {
    let mut codes = of_the_core();
    assert!(codes.len() > 20 && codes.keys().all(|code| !code.starts_with("GW03")));
    let engine = of_the_engine();
    assert!(engine.len() > 10 && engine.keys().all(|code| code.starts_with("GW03")));
    codes.extend(engine);
    let page: Titles = entries().iter().map(|entry| (entry.code.into(), entry.title.into())).collect();
    assert_eq!(page, codes);
}

#[test]
fn entries_stand_in_order_below_their_hundred() {
    let codes: Vec<_> = entries().iter().map(|entry| entry.code).collect();
    assert!(codes.is_sorted(), "{codes:?}");
    let mut hundred = String::new();
    for line in PAGE.lines() {
        if let Some(heading) = line.strip_prefix("## GW") {
            hundred = heading.chars().take(2).collect();
        } else if let Some(code) = line.strip_prefix("### GW") {
            assert!(code.starts_with(&hundred) && !hundred.is_empty(), "{line} stands below GW{hundred}xx");
        }
    }
}

#[test]
fn every_entry_says_cause_outcome_and_action() {
    for Entry { code, text, .. } in entries() {
        let mut paragraphs = text.trim().split("\n\n");
        for word in ["Cause: ", "Outcome: ", "Action: "] {
            let paragraph = paragraphs.next().unwrap_or_default();
            let said = paragraph.strip_prefix(word).unwrap_or_else(|| panic!("{code} lacks {word:?}"));
            assert!(said.len() > 5, "{code}: {paragraph}");
        }
    }
}

/// Text that speaks of a code speaks of one that exists.
#[test]
fn codes_that_the_page_mentions_exist() {
    let known: Vec<_> = entries().iter().map(|entry| entry.code).collect();
    for (at, _) in PAGE.match_indices("GW0") {
        let code = PAGE.get(at..at + 6).unwrap();
        assert!(code.ends_with("xx") || known.contains(&code), "{code}");
    }
}
