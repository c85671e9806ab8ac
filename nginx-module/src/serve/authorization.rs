// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an authorizer has said about a request.

use std::cell::OnceCell;

/// What an authorizer is asked for a request, and what it says.
#[derive(Default)]
pub(crate) struct Authorization(OnceCell<Answer>);

/// What an authorizer has said.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) status: usize,
    /// `Variable-NAME: value`, without `Variable-`.
    pub(crate) variables: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Authorization {
    /// `None`: it has not answered yet.
    pub(crate) fn answer(&self) -> Option<&Answer> {
        self.0.get()
    }

    /// The first answer counts.
    pub(crate) fn set_answer(&self, answer: Answer) {
        let _ = self.0.set(answer);
    }

    /// The variables, in order.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let variables = self.answer().into_iter().flat_map(|answer| &answer.variables);
        variables.map(|(name, value)| (name.as_slice(), value.as_slice()))
    }
}
