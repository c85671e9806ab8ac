// SPDX-License-Identifier: MIT OR Apache-2.0
//! What ps(1) and top(1) show of a process that a server of ours looks after: the application and what it does, as far as its keeper has seen.

use crate::sys;

/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It loads the application.
    Loading,
    /// It has so many requests.
    Serving(usize),
    /// It takes no more of them.
    Ending,
}

/// What was shown last. The memory is written when that changes, and not for each request: the keeper looks ten times a second.
#[derive(Debug)]
pub(crate) struct Shown {
    name: String,
    threads: usize,
    last: Option<Doing>,
}

impl Shown {
    pub(crate) fn new(name: &str, threads: usize) -> Self {
        Self { name: name.to_owned(), threads, last: None }
    }

    pub(crate) fn show(&mut self, doing: Doing) {
        if self.last.replace(doing) != Some(doing) {
            sys::set_title(&self.text(doing));
            sys::name_process(&self.short(doing));
        }
    }

    /// In the place of the program's name, of which the kernel shows 15 bytes.
    fn short(&self, doing: Doing) -> String {
        let state = match doing {
            Doing::Loading => "loading".to_owned(),
            Doing::Serving(0) => "idle".to_owned(),
            Doing::Serving(busy) => format!("{busy}/{}", self.threads),
            Doing::Ending => "ending".to_owned(),
        };
        beside(&self.name, &format!(" {state}"))
    }

    fn text(&self, doing: Doing) -> String {
        let Self { name, threads, .. } = self;
        match doing {
            Doing::Loading => format!("gangway-host: {name} (loading)"),
            Doing::Serving(0) => format!("gangway-host: {name} (idle)"),
            Doing::Serving(busy) => format!("gangway-host: {name} ({busy} of {threads} busy)"),
            Doing::Ending => format!("gangway-host: {name} (ending)"),
        }
    }
}

/// As much of a name as the kernel shows beside something else.
pub(crate) fn beside(name: &str, what: &str) -> String {
    let room = sys::NAME_MOST.saturating_sub(what.len());
    let end = (0..=room.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    format!("{}{what}", name.get(..end.unwrap_or(0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_which_application_and_what_it_does() {
        let shown = Shown::new("blog", 8);
        let texts = [Doing::Loading, Doing::Serving(0), Doing::Serving(3), Doing::Ending]
            .map(|doing| shown.text(doing));
        let expected = ["blog (loading)", "blog (idle)", "blog (3 of 8 busy)", "blog (ending)"];
        assert_eq!(texts, expected.map(|text| format!("gangway-host: {text}")));
    }

    #[test]
    fn what_the_kernel_shows_is_short_and_ends_with_the_state() {
        let names = ["blog", "blog.wsgi:application", "\u{1f40d}\u{1f40d}\u{1f40d}\u{1f40d}", ""];
        let shown = names.map(|name| Shown::new(name, 8).short(Doing::Serving(3)));
        assert_eq!(shown, ["blog 3/8", "blog.wsgi:a 3/8", "\u{1f40d}\u{1f40d} 3/8", " 3/8"]);
        let states = [Doing::Loading, Doing::Serving(0), Doing::Ending]
            .map(|doing| Shown::new("blog.wsgi", 1).short(doing));
        assert_eq!(states, ["blog.ws loading", "blog.wsgi idle", "blog.wsg ending"]);
    }
}
