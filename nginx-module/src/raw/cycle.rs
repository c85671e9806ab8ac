// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a cycle owns: the configurations of this module.

use std::{
    cell::Cell,
    ffi::CStr,
    marker::PhantomData,
    ops::Deref,
    ptr::{self, NonNull},
};

use nginx_sys::{
    gid_t, ngx_core_conf_t, ngx_core_module, ngx_cycle_t, ngx_http_conf_ctx_t, ngx_http_module, uid_t,
};

use super::{Conf, Request, own};

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

thread_local! {
    /// Whether [`Conf::change_http`] has lent the configuration of the http block.
    static IS_CHANGING: Cell<bool> = const { Cell::new(false) };
}

impl Conf {
    /// Lets `change` work on this module's configuration of the http block.
    ///
    /// # Panics
    /// Inside of `change`: it would have the same value twice.
    pub(crate) fn change_http<T: PerHttp, R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        struct Ends;
        impl Drop for Ends {
            fn drop(&mut self) {
                IS_CHANGING.set(false);
            }
        }
        assert!(!IS_CHANGING.replace(true), "the http block is being changed");
        let _ends = Ends;
        let slot = self.module_conf::<T>(crate::module(), nginx_sys::NGX_HTTP_MAIN_CONF_OFFSET);
        // SAFETY: nginx makes the configurations of a block before it reads the block; `T` is what stands there, as
        // `PerHttp` promises. While a configuration is read, this function alone refers to it, once at a time.
        change(unsafe { &mut *slot })
    }
}

/// A cycle whose configuration is complete, for the time of a call.
pub(crate) struct Cycle<'c>(&'c ngx_cycle_t);

impl<'c> Cycle<'c> {
    /// # Safety
    /// `raw` is a live cycle with a complete configuration, for as long as `'c`.
    pub(crate) unsafe fn from_raw(raw: *mut ngx_cycle_t) -> Self {
        // SAFETY: the caller's cycle is live for `'c`.
        Self(unsafe { &*raw })
    }

    /// This module's configuration of the http block, if there is one.
    pub(crate) fn http<T: PerHttp>(&self) -> Option<&'c T> {
        // SAFETY: `conf_ctx` of a complete configuration has a slot for each module; that of http is an ngx_http_conf_ctx_t or
        // NULL, in which `T` stands at the place of this module, as `PerHttp` promises.
        unsafe {
            let http = *self.0.conf_ctx.add((*ptr::addr_of!(ngx_http_module)).index);
            let http = http.cast::<ngx_http_conf_ctx_t>().as_ref()?;
            (*http.main_conf.add(crate::module().ctx_index)).cast::<T>().as_ref()
        }
    }

    pub(super) fn raw(&self) -> &'c ngx_cycle_t {
        self.0
    }

    /// Gives it a value, which is dropped when nginx has no more use for this configuration in this process.
    pub(crate) fn own<T>(&self, value: T) {
        // SAFETY: the pool of a live cycle.
        unsafe { own(self.0.pool, value) };
    }

    fn core(&self) -> &'c ngx_core_conf_t {
        // SAFETY: the core module's configuration exists in every cycle whose configuration is complete.
        unsafe { &*(*self.0.conf_ctx.add((*ptr::addr_of!(ngx_core_module)).index)).cast::<ngx_core_conf_t>() }
    }

    /// Whether a master starts processes, and not this one serves all requests.
    pub(crate) fn has_master(&self) -> bool {
        self.core().master != 0
    }

    /// How many processes serve requests.
    pub(crate) fn workers(&self) -> usize {
        usize::try_from(self.core().worker_processes).unwrap_or(1).max(1)
    }

    /// The user and the group that workers get, where `user` or nginx's default says so.
    pub(crate) fn user(&self) -> Option<(&'c CStr, uid_t, gid_t)> {
        let core = self.core();
        if core.user == 0 || core.username.is_null() {
            return None;
        }
        // SAFETY: a name in a complete configuration is a C string of the cycle's.
        Some((unsafe { CStr::from_ptr(core.username) }, core.user, core.group))
    }
}
