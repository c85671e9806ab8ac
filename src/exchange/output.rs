// SPDX-License-Identifier: MIT OR Apache-2.0
//! A response on its way out of an exchange: when what a handler gives leaves.

use super::{Cause, Exchange, Stop, Wait, answer::Answer, piece::Piece};
use crate::{error::TOO_LONG, sys::lock};

impl Exchange {
    /// A copy of bytes that are to be sent.
    pub(crate) fn copy(&self, bytes: &[u8]) -> Piece {
        Piece::Copied(lock(&self.answer).copy(bytes))
    }

    /// Sends one piece of the body.
    ///
    /// # Errors
    /// [`Stop::Again`] without effect; [`Stop::Invalid`] when it is longer than Content-Length allows (what it allows was sent);
    /// [`Stop::Cancelled`]; [`Stop::Misuse`] before the head or after the end. A piece that comes back was not taken over.
    pub fn write(&self, piece: Piece, flush: bool, wait: Wait) -> Result<(), (Stop, Option<Piece>)> {
        self.write_by(piece, flush, wait, Self::deliver)
    }

    /// The same with a flush, for a handler that most likely ends right behind it: then all of it leaves in one piece.
    ///
    /// # Errors
    /// As [`Exchange::write`].
    pub(crate) fn write_soon(&self, piece: Piece, wait: Wait) -> Result<(), (Stop, Option<Piece>)> {
        self.write_by(piece, true, wait, Self::deliver_soon)
    }

    fn write_by(
        &self,
        piece: Piece,
        flush: bool,
        wait: Wait,
        deliver: impl FnOnce(&Self, &mut Answer) -> Result<(), Stop>,
    ) -> Result<(), (Stop, Option<Piece>)> {
        let mut answer = lock(&self.answer);
        if let Err(stop) = self.live() {
            return Err((stop, Some(piece)));
        }
        if !answer.takes_body() {
            return Err((self.misuse("a body write before start() or after finish()"), Some(piece)));
        }
        let patient = !flush && self.port.is_patient();
        let full = patient && answer.is_full();
        let leaves = full || (!patient && answer.must_deliver(piece.len().max(piece.weight()), flush));
        if leaves && let Err(stop) = self.port.room(wait) {
            return Err((stop, Some(piece)));
        }
        let excess = answer.stage(piece);
        if full || (!patient && answer.must_deliver(0, flush)) {
            // The piece has been taken over, so this call has succeeded even if the client left meanwhile; the
            // next call answers Cancelled.
            let _ = deliver(self, &mut answer);
        }
        if excess > 0 {
            let text = format_args!(
                "the application sent {excess} bytes more than its Content-Length; they are dropped"
            );
            self.report(TOO_LONG, text);
            return Err((Stop::Invalid, None));
        }
        Ok(())
    }

    /// Sends what was staged.
    ///
    /// # Errors
    /// As [`Exchange::write`].
    pub fn flush(&self, wait: Wait) -> Result<(), Stop> {
        let mut answer = lock(&self.answer);
        self.live()?;
        if !answer.takes_body() {
            return Err(self.misuse("flush() before start() or after finish()"));
        }
        if !answer.has_staged() {
            return Ok(());
        }
        self.port.room(wait)?;
        self.deliver(&mut answer)
    }

    pub(super) fn deliver(&self, answer: &mut Answer) -> Result<(), Stop> {
        self.delivered(self.within(|| self.port.deliver(answer.take_staged())))
    }

    fn deliver_soon(&self, answer: &mut Answer) -> Result<(), Stop> {
        self.delivered(self.within(|| self.port.deliver_soon(answer.take_staged())))
    }

    fn delivered(&self, delivered: Result<(), Stop>) -> Result<(), Stop> {
        if delivered == Err(Stop::Cancelled) {
            self.mark(Cause::ClientGone);
        }
        delivered
    }
}
