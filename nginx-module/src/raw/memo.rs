// SPDX-License-Identifier: MIT OR Apache-2.0
//! A place in each request for what this module must know over internal redirects.
//!
//! nginx forgets the contexts of modules when it sends a request to another location, but not the values of its variables,
//! which a request and its subrequests share. So the place is the value of a variable, found by the number that nginx
//! gave to it: nothing is told apart by the address of a function, which a compiler may give to two functions.

use std::cell::RefCell;

use nginx_sys::{
    NGX_HTTP_VAR_NOHASH, ngx_conf_t, ngx_http_add_variable, ngx_http_request_t, ngx_http_variable_value_t,
    ngx_int_t, ngx_str_t,
};

use super::{Conf, NoMemory, Request, field::field, own};

/// No configuration can name it.
const NAME: &[u8] = b"gangway memo";

/// The number of the variable, whose value is this module's [`PerRequest`].
#[derive(Clone, Copy)]
pub(crate) struct MemoIndex(usize);

/// What this module keeps for a request and its subrequests.
///
/// # Safety
/// One type of this module implements it: a request has one place.
pub(crate) unsafe trait PerRequest: Default {}

/// Adds the variable; nginx calls it before it reads the http block.
///
/// # Safety
/// `cf` is the live configuration phase.
pub(crate) unsafe fn add_memo(cf: *mut ngx_conf_t) -> Option<()> {
    let mut name = ngx_str_t { len: NAME.len(), data: NAME.as_ptr().cast_mut() };
    // SAFETY: the phase is the caller's live one; nginx copies the name.
    let variable =
        unsafe { ngx_http_add_variable(cf, &raw mut name, NGX_HTTP_VAR_NOHASH as usize).as_mut() }?;
    variable.get_handler = Some(unset);
    Some(())
}

/// What nginx finds when it asks, which only the lists of all variables that other modules make can lead it to.
unsafe extern "C" fn unset(
    _: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    // SAFETY: nginx gives room for a value.
    unsafe { (*value).set_not_found(1) };
    0
}

impl Conf {
    /// Finds the place for the requests of this configuration.
    pub(crate) fn memo(&self) -> Option<MemoIndex> {
        usize::try_from(self.variable(NAME)?).ok().map(MemoIndex)
    }
}

impl Request {
    /// What the request and its subrequests have in common, if there is something.
    pub(crate) fn memo<T: PerRequest>(&self, index: MemoIndex) -> Option<&RefCell<T>> {
        // SAFETY: a live request has a value for each variable that has a number in its configuration. nginx writes to this
        // one only what `unset` says, which is no place: it is NULL, or what `make_memo` has put there for the one type that
        // is `PerRequest`, in the pool that the main request ends with.
        unsafe { (*field!(self, variables).add(index.0)).data.cast::<RefCell<T>>().as_ref() }
    }

    /// As [`Request::memo`], made when it is not there.
    pub(crate) fn make_memo<T: PerRequest>(&self, index: MemoIndex) -> Result<&RefCell<T>, NoMemory> {
        if self.memo::<T>(index).is_none() {
            // SAFETY: the pool of a live request, which its subrequests share; a live request has a value for each variable
            // that has a number in its configuration.
            unsafe {
                let made = own(self.pool(), RefCell::<T>::default());
                let value = field!(self, variables).add(index.0);
                (*value).data = made.cast();
                (*value).set_len(0);
                (*value).set_valid(0);
                (*value).set_not_found(1);
            }
        }
        self.memo(index).ok_or(NoMemory)
    }
}
