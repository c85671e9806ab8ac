// SPDX-License-Identifier: MIT OR Apache-2.0
//! A place in each request for what this module must know over internal redirects.
//!
//! nginx forgets the contexts of modules when it sends a request to another location, but not the values of its variables,
//! which a request and its subrequests share. So the place is the value of a variable, found by the number that nginx
//! gave to it: nothing is told apart by the address of a function, which a compiler may give to two functions.

use nginx_sys::{
    NGX_HTTP_VAR_NOHASH, ngx_conf_t, ngx_http_add_variable, ngx_http_request_t, ngx_http_variable_value_t,
    ngx_int_t, ngx_str_t,
};

use super::{Conf, NoMemory, Request, own};

/// No configuration can name it.
const NAME: &[u8] = b"gangway memo";

/// The number of the variable.
#[derive(Clone, Copy)]
pub(crate) struct MemoIndex(usize);

/// Adds the variable; nginx calls it before it reads the http block.
///
/// # Safety
/// `cf` is the live configuration phase.
pub(crate) unsafe fn add_memo(cf: *mut ngx_conf_t) -> Option<()> {
    let mut name = ngx_str_t { len: NAME.len(), data: NAME.as_ptr().cast_mut() };
    // SAFETY: the caller vouches for the phase; nginx copies the name.
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
    #[expect(clippy::mut_from_ref, reason = "nginx's request is shared by pointer on one thread")]
    fn place(&self, index: MemoIndex) -> &mut ngx_http_variable_value_t {
        // SAFETY: a live request has a value for each variable that has a number in its configuration.
        unsafe { &mut *self.get_mut().variables.add(index.0) }
    }

    /// What the request and its subrequests have in common, if there is something.
    ///
    /// # Safety
    /// `T` is always the same type, and no other reference to the value is used while this one lives.
    pub(crate) unsafe fn memo<'a, T>(self, index: MemoIndex) -> Option<&'a mut T> {
        let value = self.place(index);
        // nginx writes to it only what `unset` says, which is no place.
        // SAFETY: NULL, or what `make_memo` has put there, in the pool that the main request ends with.
        unsafe { value.data.cast::<T>().as_mut() }
    }

    /// As [`Request::memo`], made when it is not there.
    ///
    /// # Safety
    /// As there.
    pub(crate) unsafe fn make_memo<'a, T: Default>(self, index: MemoIndex) -> Result<&'a mut T, NoMemory> {
        // SAFETY: the caller vouches for it; a request and its subrequests have one pool.
        unsafe {
            if let Some(known) = self.memo(index) {
                return Ok(known);
            }
            let made = own(self.pool(), T::default());
            let value = self.place(index);
            value.data = made.cast();
            value.set_len(0);
            value.set_valid(0);
            value.set_not_found(1);
            made.as_mut().ok_or(NoMemory)
        }
    }
}
