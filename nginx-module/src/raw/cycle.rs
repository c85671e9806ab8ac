// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a cycle owns: the configurations of this module.

use std::{marker::PhantomData, ops::Deref, ptr::NonNull};

use super::{Conf, Request};

/// What this module makes for each location.
///
/// # Safety
/// `create_loc_conf` of this module makes a value of this type, and nothing else stands in its place.
pub(crate) unsafe trait PerLocation {}

/// What this module makes for the http block.
///
/// # Safety
/// `create_main_conf` of this module makes a value of this type, and nothing else stands in its place.
pub(crate) unsafe trait PerHttp {}

/// A value that a cycle owns and nobody changes once its configuration has been read. Whoever holds one lives no longer
/// than the cycle: a request of that cycle, what is in a request's pool, and the stack of a call for a request.
pub(crate) struct InCycle<T>(NonNull<T>, PhantomData<T>);

impl<T> Clone for InCycle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for InCycle<T> {}

impl<T> Deref for InCycle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: made for a live request, whose cycle nginx keeps as long as one of its requests lives; the type's own
        // page says that holders live no longer.
        unsafe { self.0.as_ref() }
    }
}

impl Request {
    /// This module's configuration of the location where the request is now.
    pub(crate) fn location<T: PerLocation>(self) -> InCycle<T> {
        let slot = self.location_slot(crate::module().ctx_index).cast();
        // SAFETY: nginx refuses a configuration for which a module has made nothing, so the slot of a live request is not
        // NULL; `T` is what stands there, as `PerLocation` promises.
        InCycle(unsafe { NonNull::new_unchecked(slot) }, PhantomData)
    }

    /// This module's configuration of the http block.
    pub(crate) fn http<T: PerHttp>(self) -> InCycle<T> {
        let slot = self.main_slot(crate::module().ctx_index).cast();
        // SAFETY: nginx refuses a configuration for which a module has made nothing, so the slot of a live request is not
        // NULL; `T` is what stands there, as `PerHttp` promises.
        InCycle(unsafe { NonNull::new_unchecked(slot) }, PhantomData)
    }
}

impl Conf {
    /// Lets `change` work on this module's configuration of the http block. It comes back to no setter.
    pub(crate) fn change_http<T: PerHttp, R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let slot = self.module_conf::<T>(crate::module(), nginx_sys::NGX_HTTP_MAIN_CONF_OFFSET);
        // SAFETY: nginx makes the configurations of a block before it reads the block; `T` is what stands there, as
        // `PerHttp` promises. A setter of a location has that of its location, which is another value.
        change(unsafe { &mut *slot })
    }
}
