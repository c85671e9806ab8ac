// SPDX-License-Identifier: MIT OR Apache-2.0
//! To how many processes a request goes, one after the other, while each of them ends without an answer.

/// So many ends of processes that have not begun it a request may meet: more come only of an application that does nothing else.
const MOST_UNBEGUN: u32 = 8;

/// What a request has left of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replays {
    begun: u32,
    unbegun: u32,
}

impl Replays {
    /// For a request of which nobody has heard. `is_hosted`: its processes are those of `gangway-host`.
    ///
    /// A host says what it has begun, and where a second one ends the request is likely to be why: no third one has it. Programs say nothing, and those
    /// that end by themselves after so many requests have connections in the queues of their sockets meanwhile, whose end looks like that of
    /// requests which they had begun: a request may meet one of these besides an end of another kind.
    #[must_use]
    pub fn new(is_hosted: bool) -> Self {
        Self { begun: if is_hosted { 1 } else { 2 }, unbegun: MOST_UNBEGUN }
    }

    /// A process has ended without an answer. Answers whether another one gets the request: which the first had not begun, or which
    /// `may_run_twice`.
    pub fn follow(&mut self, has_begun: bool, may_run_twice: bool) -> bool {
        let left = if has_begun { &mut self.begun } else { &mut self.unbegun };
        let may = (may_run_twice || !has_begun) && *left > 0;
        *left = left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_goes_on_where_it_may_run_twice() {
        for (is_hosted, most) in [(true, 1), (false, 2)] {
            let mut replays = Replays::new(is_hosted);
            assert_eq!((0..4).filter(|_| replays.follow(true, true)).count(), most);
            assert!(!Replays::new(is_hosted).follow(true, false));
        }
    }

    #[test]
    fn an_end_before_the_beginning_is_no_attempt() {
        let mut replays = Replays::new(true);
        assert!((0..3).all(|_| replays.follow(false, false)));
        assert!(replays.follow(true, true) && !replays.follow(true, true));
        assert!(replays.follow(false, false), "the others count by themselves");
    }

    #[test]
    fn an_application_that_only_ends_has_an_end() {
        let mut replays = Replays::new(true);
        assert_eq!((0..100).filter(|_| replays.follow(false, true)).count(), MOST_UNBEGUN as usize);
    }
}
