// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the response of a backend is.
//!
//! ```text
//! Silent   -> Head                  the first byte is there
//! Head     -> Framed | Unframed     nginx has the head, and asks for the body
//! any but Silent -> Closed          the response has failed
//! any      -> Silent                another backend is asked
//! ```

/// A stage of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::upstream) enum Stage {
    /// The backend has not answered.
    #[default]
    Silent,
    /// Its head is coming, or waits for the body.
    Head,
    /// The body comes, with framing or a length that say where it ends.
    Framed,
    /// The body is whatever comes until the end of the connection, and all of it goes to nginx.
    Unframed,
    /// The response has failed: what still comes is not looked at.
    Closed,
}

/// What happens to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum StageChange {
    /// The backend answers with something.
    Answered,
    /// nginx asks for the body.
    BodyBegins { framed: bool },
    /// The body breaks the protocol, or is shorter than its length.
    Failed,
    /// The request goes to another backend, or to a cached response.
    Restarted,
}

impl Stage {
    /// The stage after a change. What means nothing in a stage leaves it as it is.
    pub(in crate::upstream) fn after(self, change: StageChange) -> Self {
        match (self, change) {
            (_, StageChange::Restarted) => Self::Silent,
            (Self::Silent, StageChange::Answered) => Self::Head,
            (Self::Head, StageChange::BodyBegins { framed: true }) => Self::Framed,
            (Self::Head, StageChange::BodyBegins { framed: false }) => Self::Unframed,
            (Self::Head | Self::Framed | Self::Unframed, StageChange::Failed) => Self::Closed,
            (stage, _) => stage,
        }
    }

    /// Whether the backend has answered with something.
    pub(in crate::upstream) fn has_answer(self) -> bool {
        self != Self::Silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [Stage; 5] = [Stage::Silent, Stage::Head, Stage::Framed, Stage::Unframed, Stage::Closed];

    #[test]
    fn each_stage_goes_where_the_table_says() {
        use Stage::{Closed, Framed, Head, Silent, Unframed};
        use StageChange::{Answered, BodyBegins, Failed, Restarted};
        // A row for each change, a column for each stage.
        for (change, after) in [
            (Answered, [Head, Head, Framed, Unframed, Closed]),
            (BodyBegins { framed: true }, [Silent, Framed, Framed, Unframed, Closed]),
            (BodyBegins { framed: false }, [Silent, Unframed, Framed, Unframed, Closed]),
            (Failed, [Silent, Closed, Closed, Closed, Closed]),
            (Restarted, [Silent; 5]),
        ] {
            assert_eq!(STAGES.map(|stage| stage.after(change)), after, "{change:?}");
        }
    }

    #[test]
    fn only_silence_is_no_answer() {
        assert_eq!(STAGES.map(Stage::has_answer), [false, true, true, true, true]);
    }
}
