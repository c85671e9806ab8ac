// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tickets for what may be gone when somebody comes back for it.
//!
//! nginx may end a request in any call that finalizes one. A timer, a thread of the pool, a helper process and nginx's own
//! clean-up come back later than that. So none of them keeps an address: the value stands in a table, and its ticket finds
//! it there or finds that it is gone. A place that is used again has another generation, and so an old ticket never meets
//! a new value.

use std::{ffi::c_void, ptr};

use nginx_sys::ngx_module_t;
use slotmap::{DefaultKey, Key, KeyData, SlotMap};

use super::{Request, field::field};

/// A number that stands for a value of a [`Tickets`] table, and never for another one. It is never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

impl Ticket {
    /// The ticket as the core and other processes carry it.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The ticket that [`Ticket::number`] gave; of any other number a ticket that finds nothing, or something that is as
    /// good as any other value of the table.
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The ticket in the place of an address, for callbacks of C. Nobody follows it.
    pub(crate) fn as_data(self) -> *mut c_void {
        const { assert!(size_of::<*mut c_void>() == size_of::<u64>()) };
        ptr::without_provenance_mut(self.0 as usize)
    }

    /// The ticket that [`Ticket::as_data`] gave.
    pub(crate) fn from_data(data: *mut c_void) -> Self {
        Self(data.addr() as u64)
    }

    fn key(self) -> DefaultKey {
        KeyData::from_ffi(self.0).into()
    }
}

impl Request {
    /// What a module of ours keeps of the request elsewhere, if it does.
    pub(crate) fn ticket(self, module: &ngx_module_t) -> Option<Ticket> {
        // SAFETY: a live request has a slot for each http module.
        let data = unsafe { *field!(self, ctx).add(module.ctx_index) };
        (!data.is_null()).then(|| Ticket::from_data(data))
    }

    pub(crate) fn set_ticket(self, module: &ngx_module_t, ticket: Option<Ticket>) {
        let data = ticket.map_or(ptr::null_mut(), Ticket::as_data);
        // SAFETY: a live request has a slot for each http module, and the one of `module` is this module's own.
        unsafe { *field!(self, ctx).add(module.ctx_index) = data }
    }
}

/// Values by their tickets. A value can be out of its place for a while: then its ticket stays good, and whoever comes
/// with it meanwhile finds nothing.
pub(crate) struct Tickets<T>(SlotMap<DefaultKey, Option<T>>);

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self(SlotMap::default())
    }
}

impl<T> Tickets<T> {
    /// A ticket for a value that is still to be made.
    pub(crate) fn reserve(&mut self) -> Ticket {
        Ticket(self.0.insert(None).data().as_ffi())
    }

    /// Puts a value in its place. One whose ticket has been given up is dropped.
    pub(crate) fn put(&mut self, ticket: Ticket, value: T) {
        if let Some(place) = self.0.get_mut(ticket.key()) {
            *place = Some(value);
        }
    }

    /// Takes a value out of its place, to be put back.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<T> {
        self.0.get_mut(ticket.key())?.take()
    }

    /// All values that are in their places.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values().flatten()
    }

    /// The ticket of a value that is in its place and for which `is_it` says so.
    pub(crate) fn find(&self, is_it: impl Fn(&T) -> bool) -> Option<Ticket> {
        let found = self.0.iter().find(|(_, value)| value.as_ref().is_some_and(&is_it));
        found.map(|(key, _)| Ticket(key.data().as_ffi()))
    }

    /// Gives the ticket up. Answers the value, if it was in its place.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        self.0.remove(ticket.key()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_that_was_given_up_finds_no_later_value() {
        let mut table = Tickets::default();
        let first = table.reserve();
        table.put(first, "first");
        assert_eq!(table.remove(first), Some("first"));
        let second = table.reserve();
        table.put(second, "second");
        assert_ne!(first, second);
        assert_eq!(first.number() & 0xffff_ffff, second.number() & 0xffff_ffff, "the place is used again");
        table.put(first, "late");
        assert_eq!((table.take(first), table.remove(first)), (None, None));
        assert_eq!(table.take(second), Some("second"));
    }

    #[test]
    fn a_value_that_is_out_of_its_place_goes_back_unless_its_ticket_is_gone() {
        let mut table = Tickets::default();
        let ticket = table.reserve();
        table.put(ticket, 1);
        assert_eq!((table.take(ticket), table.take(ticket)), (Some(1), None));
        table.put(ticket, 2);
        assert_eq!(table.take(ticket), Some(2));
        assert_eq!(table.remove(ticket), None);
        table.put(ticket, 3);
        assert_eq!(table.take(ticket), None);
    }

    #[test]
    fn tickets_survive_their_ways_through_c() {
        let mut table = Tickets::default();
        let ticket = table.reserve();
        table.put(ticket, ());
        assert_ne!(ticket.number(), 0);
        assert_eq!(Ticket::from_data(ticket.as_data()), ticket);
        assert_eq!(table.take(Ticket::from_number(ticket.number())), Some(()));
        assert_eq!(table.take(Ticket::from_number(0)), None);
    }
}
