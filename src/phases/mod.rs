// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers of the phases of a request: which of them run where, and what they may look at and change.
//!
//! ```text
//! plan         the words that name handlers, how sections merge, which handlers a phase of a request has
//! words        those of the directive that both servers have; application_words: what they say of the application; place: what they say, as data of its own
//! transaction  a request on its way through the phases, as an adapter gives it
//! snapshot     one for servers whose handlers run on other threads; visit: what those do with it; mapping: which file a path is;
//!              conditions: whether the client's copy is as good; values: its bytes
//! filtering    one run of a filter on such a thread
//! refusal      headers that a refusal has by its status
//! ```
//! Nothing here knows a server. What a handler is, only its engine knows: here it is a word.

mod application_words;
mod conditions;
mod filtering;
mod mapping;
mod place;
mod plan;
mod refusal;
mod snapshot;
mod transaction;
mod values;
mod visit;
mod words;

pub use application_words::ApplicationWords;
pub use filtering::{FilterSink, FilterVisit};
pub use mapping::split;
pub use place::{HandlerPlace, OwnedHandler, PlaceWords};
pub use refusal::{complete_refusal, method_number};
pub use snapshot::Snapshot;
pub use values::is_line_of;
pub use visit::SnapshotVisit;
pub use words::{HandlerDirective, HandlerTerms, HandlerWords};

pub use plan::{
    Assignments, Handler, RequestPhase, chosen, merge_assignments, merge_handlers, parse_handlers,
};
pub use transaction::{
    Change, Fact, FilterRead, LookUp, Number, Relation, RequestFacts, Table, Transaction, possible,
};

/// What a phase answers: one of the three words, or the status of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseAnswer {
    /// The handlers did their part.
    Done,
    /// Nobody did.
    Declined,
    /// The response is given, and no further phase is to run.
    Over,
    /// This status.
    Status(u16),
}

impl PhaseAnswer {
    /// As an engine says it; a number that is none of them is none. An interim status answers no request.
    #[must_use]
    pub fn from_abi(answer: i32) -> Option<Self> {
        use gangway_abi::ffi;
        match answer {
            ffi::GW_ANSWER_OK => Some(Self::Done),
            ffi::GW_ANSWER_DECLINED => Some(Self::Declined),
            ffi::GW_ANSWER_DONE => Some(Self::Over),
            status => {
                u16::try_from(status).ok().filter(|status| (200..600).contains(status)).map(Self::Status)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PhaseAnswer;

    #[test]
    fn answers_are_three_words_or_a_status() {
        let answers = [0, -1, -2, 200, 403, 599].map(PhaseAnswer::from_abi);
        let known = [
            PhaseAnswer::Done,
            PhaseAnswer::Declined,
            PhaseAnswer::Over,
            PhaseAnswer::Status(200),
            PhaseAnswer::Status(403),
            PhaseAnswer::Status(599),
        ];
        assert_eq!(answers, known.map(Some));
        assert_eq!([-3, 1, 100, 199, 600, 70_000, i32::MIN].map(PhaseAnswer::from_abi), [None; 7]);
    }
}
