// SPDX-License-Identifier: MIT OR Apache-2.0
//! Circles among siblings.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::names::Use;

type Siblings<'a> = BTreeMap<Vec<String>, BTreeMap<Vec<String>, &'a Use>>;

/// A line for each set of siblings that use each other in a circle: a shortest circle and the uses it is made of.
pub(crate) fn circles(uses: &BTreeSet<Use>) -> Vec<String> {
    let mut levels: BTreeMap<Vec<String>, Siblings<'_>> = BTreeMap::new();
    for used in uses {
        let common = used.from.iter().zip(&used.to).take_while(|(a, b)| a == b).count();
        // One is the other's ancestor: a parent and what is below it.
        let (Some(from), Some(to)) = (used.from.get(..=common), used.to.get(..=common)) else { continue };
        let level = levels.entry(used.from[..common].to_vec()).or_default();
        level.entry(from.to_vec()).or_default().entry(to.to_vec()).or_insert(used);
    }
    levels.values().flat_map(circles_among).collect()
}

fn circles_among(siblings: &Siblings<'_>) -> Vec<String> {
    let mut told = BTreeSet::new();
    let mut lines = Vec::new();
    for start in siblings.keys() {
        let Some(circle) = shortest_circle(siblings, start) else { continue };
        if circle.iter().any(|module| told.contains(module)) {
            continue;
        }
        let names: Vec<_> = circle.iter().chain([start]).map(|module| module.join("::")).collect();
        let steps = circle.iter().zip(circle.iter().skip(1).chain([start]));
        let reasons: Vec<_> = steps
            .map(|(from, to)| {
                let used = siblings[from][to];
                format!("{} uses {}", used.from.join("::"), used.name)
            })
            .collect();
        lines.push(format!("{} ({})", names.join(" -> "), reasons.join("; ")));
        told.extend(circle);
    }
    lines
}

/// The modules of a shortest way from `start` back to it.
fn shortest_circle(siblings: &Siblings<'_>, start: &Vec<String>) -> Option<Vec<Vec<String>>> {
    let mut before: BTreeMap<&Vec<String>, &Vec<String>> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(module) = open.pop_front() {
        for next in siblings.get(module).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                let mut way = vec![module.clone()];
                let mut at = module;
                while at != start {
                    at = before[at];
                    way.push(at.clone());
                }
                way.reverse();
                return Some(way);
            }
            if !before.contains_key(next) {
                before.insert(next, module);
                open.push_back(next);
            }
        }
    }
    None
}
