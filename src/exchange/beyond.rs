// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a response can be more than head and body: interim responses before it, and fields behind it.

use super::{Beyond, Delivery, Exchange, Stop, Wait};
use crate::{
    error::BAD_STATUS,
    http::{Fields, Head},
    sys::lock,
};

/// RFC 8297.
const EARLY_HINTS: u16 = 103;

/// A request as it came in, and what its response may be more than head and body.
#[derive(Debug, Default)]
pub struct Wire {
    /// The header fields in the order of their arrival, names in lower case.
    pub fields: Fields,
    /// The port that the client has connected to; 0 when it is not known.
    pub local_port: u16,
    /// Interim responses reach the client.
    pub has_interim: bool,
    /// Trailers do, and it has asked for such.
    pub has_trailers: bool,
}

impl Exchange {
    /// Sends an interim head before the head. What has no way to the client, or no room, is left out.
    ///
    /// # Errors
    /// [`Stop::Invalid`] for a head that must not be sent, [`Stop::Misuse`] after the head.
    pub fn interim<'a>(
        &self,
        status: u16,
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), Stop> {
        let mut answer = lock(&self.answer);
        self.live()?;
        if answer.has_head() {
            return Err(self.misuse("interim() after start()"));
        }
        if status != EARLY_HINTS {
            self.report(BAD_STATUS, format_args!("interim response refused: its status {status} is not 103"));
            return Err(Stop::Invalid);
        }
        let fields = self.checked(headers)?;
        let is_wanted = self.told().wire.as_ref().is_some_and(|wire| wire.has_interim);
        if !is_wanted || fields.is_empty() || !answer.may_hint() || self.port.room(Wait::No).is_err() {
            return Ok(());
        }
        let beyond = Beyond { interim: vec![fields], ..Beyond::default() };
        self.within(|| self.port.deliver(Delivery { beyond: Some(Box::new(beyond)), ..Delivery::default() }))
    }

    /// Gives fields that follow the body; before the head, says that there will be some.
    ///
    /// # Errors
    /// [`Stop::Invalid`] for fields that must not be sent, [`Stop::Misuse`] for some before the head, or any after the end.
    pub fn trailers<'a>(&self, headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<(), Stop> {
        let mut answer = lock(&self.answer);
        self.live()?;
        let fields = self.checked(headers)?;
        let is_wanted = self.told().wire.as_ref().is_some_and(|wire| wire.has_trailers);
        if answer.takes_body() {
            if is_wanted {
                answer.add_trailers(&fields);
            }
            return Ok(());
        }
        if answer.has_head() || !fields.is_empty() {
            return Err(self.misuse("trailers() before start() or after finish()"));
        }
        if is_wanted {
            answer.expect_trailers();
        }
        Ok(())
    }

    /// Fields beyond those of the head, held to the same rules.
    fn checked<'a>(&self, headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Fields, Stop> {
        let checked = Head::check(200, b"", headers);
        checked.map(|head| head.fields).map_err(|error| {
            self.report(error.code(), format_args!("response refused: {error}"));
            Stop::Invalid
        })
    }
}
