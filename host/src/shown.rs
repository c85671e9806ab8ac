// SPDX-License-Identifier: MIT OR Apache-2.0
//! What ps(1) shows of a process that a server of ours looks after: the application and what it does, as far as its keeper has seen.

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
        }
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
}
