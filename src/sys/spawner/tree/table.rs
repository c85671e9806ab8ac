// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server's parent has said, kept for who comes later.

use std::{collections::HashSet, os::fd::AsFd};

use super::{
    MessageSocket, Parcel,
    message::{self, Heard, Recipe},
};

/// What the server's parent has said: messages with their descriptors.
#[derive(Default)]
pub(super) struct Table {
    /// A whole configuration: its applications, and the message that says that they are all.
    pub(super) told: Vec<Parcel>,
    /// Of the next one, what has come of it. Who takes the place of another in between has to know it, too.
    pub(super) next: Vec<Parcel>,
    /// Words that the supervisor may still name: those of the configuration before this one that have changed, and of applications that
    /// have left and have processes.
    former: Vec<Vec<u8>>,
}

impl Table {
    /// Takes a message; those of a configuration count when it is whole. Answers the one that it takes the place of, if it is now.
    pub(super) fn take(&mut self, packet: Parcel) -> Option<Vec<Parcel>> {
        let Some(Heard::Commit(applications)) = message::heard(&packet.bytes) else {
            self.next.push(packet);
            return None;
        };
        let mut next = std::mem::take(&mut self.next);
        // What stands before them belongs to one that did not become whole.
        let first = next.len().checked_sub(applications)?;
        next.drain(..first);
        next.push(packet);
        Some(std::mem::replace(&mut self.told, next))
    }

    /// What the words of an application say. The supervisor may not have read yet that there are others, and one that has left may have to
    /// answer its last requests.
    pub(super) fn recipe(&self, app: u32, version: u32) -> Option<Recipe<'_>> {
        let told = || self.told.iter().filter_map(|packet| Recipe::decode(&packet.bytes));
        let former = || self.former.iter().filter_map(|words| Recipe::decode(words));
        let same = told().chain(former()).find(|recipe| (recipe.id, recipe.version) == (app, version));
        same.or_else(|| told().chain(former()).find(|recipe| recipe.id == app))
    }

    /// This configuration is replaced now. `lives` says which application has processes.
    pub(super) fn keep_former(&mut self, replaced: Vec<Parcel>, lives: impl Fn(u32) -> bool) {
        let id = |words: &[u8]| Recipe::decode(words).map(|recipe| recipe.id);
        let again: Vec<_> = replaced.iter().filter_map(|packet| id(&packet.bytes)).collect();
        self.former.retain(|words| id(words).is_some_and(|app| !again.contains(&app) && lives(app)));
        let told: HashSet<&[u8]> = self.told.iter().map(|packet| packet.bytes.as_slice()).collect();
        let replaced = replaced.into_iter().map(|packet| packet.bytes);
        self.former.extend(replaced.filter(|words| id(words).is_some() && !told.contains(words.as_slice())));
    }
}

impl Parcel {
    pub(super) fn send(&self, channel: &MessageSocket) -> std::io::Result<()> {
        let fds: Vec<_> = self.fds.iter().map(AsFd::as_fd).collect();
        channel.send(&self.bytes, &fds, true)
    }
}
