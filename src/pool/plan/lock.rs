// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has been seen of an application's lock: whether threads wait for it in vain, and whether handlers wait for
//! something else.

/// What a request that has waited for something adds to the weight of such requests; any other takes 1 away.
const WAITED: u8 = 2;
/// From this weight on handlers are taken to wait for something. Two in a row are enough; one in three never adds up to
/// it, and a busy machine delays fewer than that.
pub(super) const WAITING: u8 = 3;
/// The weight is never more, so that handlers that wait no longer are noticed after a few requests.
pub(super) const HEAVIEST: u8 = 2 * WAITED;

/// What the lock is to those who want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LockState {
    /// Nothing is known against it: one thread at a time searches.
    Open,
    /// Searchers have waited for it in vain: what waits is left to the thread that runs, and another one watches it.
    Crowded,
    /// Handlers wait for something of their own and the lock is free most of the time: several threads search.
    Yielded,
}

/// What is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// A searcher has waited long for the lock, and others took requests meanwhile.
    LateSearcher,
    /// A thread that came from watching has got the lock at once.
    FreeLock,
    /// The last requests have waited.
    HandlersWait,
    /// They have not.
    HandlersCompute,
}

impl LockState {
    /// The table.
    #[rustfmt::skip]
    pub(super) const fn after(self, sighting: Sighting) -> Self {
        use Sighting::{FreeLock, HandlersCompute, HandlersWait, LateSearcher};
        match (self, sighting) {
            (Self::Open,    LateSearcher)    => Self::Crowded,
            (Self::Open,    FreeLock)        => Self::Open,
            (Self::Open,    HandlersWait)    => Self::Yielded,
            (Self::Open,    HandlersCompute) => Self::Open,

            (Self::Crowded, LateSearcher)    => Self::Crowded,
            (Self::Crowded, FreeLock)        => Self::Open,
            (Self::Crowded, HandlersWait)    => Self::Yielded,
            (Self::Crowded, HandlersCompute) => Self::Crowded,

            // The running threads take one request after the other here too, as they come back from their waits: a late
            // searcher says nothing, and a watching thread would see them get on although a request could be served.
            (Self::Yielded, LateSearcher)    => Self::Yielded,
            (Self::Yielded, FreeLock)        => Self::Yielded,
            (Self::Yielded, HandlersWait)    => Self::Yielded,
            (Self::Yielded, HandlersCompute) => Self::Open,
        }
    }
}

/// The weight of requests that have waited for something; at most [`HEAVIEST`].
#[derive(Clone, Copy, Default)]
#[cfg_attr(test, derive(PartialEq, Eq, Hash))]
pub(super) struct Weight(pub(super) u8);

impl Weight {
    /// A request has ended, which has waited for something or not. Answers what that makes of the handlers.
    pub(super) fn add(&mut self, waited: bool) -> Sighting {
        self.0 = if waited { HEAVIEST.min(self.0 + WAITED) } else { self.0.saturating_sub(1) };
        if self.0 >= WAITING { Sighting::HandlersWait } else { Sighting::HandlersCompute }
    }

    /// Whether any of the last requests has waited.
    pub(super) fn is_something(self) -> bool {
        self.0 > 0
    }
}
