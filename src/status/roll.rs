// SPDX-License-Identifier: MIT OR Apache-2.0
//! The applications that a configuration names, in its order, each once: what is to be announced, by what tells one from another.

use super::{
    block::AppKind,
    board::{Announced, StatusBoard},
};

/// The applications of a configuration. `K` is what tells them apart: the same words are one.
#[derive(Debug)]
pub struct Roll<K>(Vec<(K, Announced)>);

impl<K> Default for Roll<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Roll<K> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: PartialEq> Roll<K> {
    /// Answers the number of an application, which is new or known.
    pub fn add(&mut self, key: K, announced: Announced) -> usize {
        let Self(all) = self;
        all.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            all.push((key, announced));
            all.len() - 1
        })
    }

    /// Announces all of them, under the names that `rename` knows better, if it does. Answers what they are called, by their numbers.
    pub fn announce(
        &self,
        board: &StatusBoard,
        rename: impl Fn(&K) -> Option<String>,
    ) -> Vec<(AppKind, String)> {
        let announced = |(key, announced): &(K, Announced)| {
            let name = rename(key).unwrap_or_else(|| announced.name.clone());
            Announced { name, ..announced.clone() }
        };
        let all: Vec<_> = self.0.iter().map(announced).collect();
        let names = board.announce(&all);
        all.into_iter().map(|announced| announced.kind).zip(names).collect()
    }
}
