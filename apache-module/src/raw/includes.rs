// SPDX-License-Identifier: MIT OR Apache-2.0
//! `<!--#python eval="..." -->` and `exec`, which mod_include finds in a page and others make.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, Ordering},
    },
};

use gangway::engine::fence;
use gangway_httpd::brigade::Brigade;

use super::{
    Request,
    flow::{Flow, given},
    pieces::{Bytes, bucket},
    session::Session,
    sys::{self, apr_status_t},
};

/// What makes a part of a page: the first text says in which way. It ends with [`Session::end_part`], and answers whether it is made.
pub(crate) type RunInclude = for<'r> fn(Request<'r>, &'static [u8], Flow<'r>, &mut Brigade<'r>) -> bool;

type Register = unsafe extern "C" fn(
    *mut c_char,
    unsafe extern "C" fn(
        *mut sys::include_ctx_t,
        *mut sys::ap_filter_t,
        *mut sys::apr_bucket_brigade,
    ) -> apr_status_t,
);
type NextWord = unsafe extern "C" fn(*mut sys::include_ctx_t, *mut *mut c_char, *mut *mut c_char, c_int);

const ELEMENT: &CStr = c"python";
/// How an element can be written.
const WAYS: [&[u8]; 2] = [b"eval", b"exec"];

static RUN: OnceLock<RunInclude> = OnceLock::new();
/// mod_include's own, of this configuration.
static NEXT_WORD: AtomicPtr<std::ffi::c_void> = AtomicPtr::new(ptr::null_mut());

/// Tells mod_include of the element, if httpd has mod_include. For each configuration, after mod_include has begun anew.
pub(crate) fn register_include(run: RunInclude) {
    let _ = RUN.set(run);
    // SAFETY: asked for when all modules are loaded. Functions of these names have these types: mod_include.h. mod_include keeps the name,
    // which is constant, and calls the function as long as its configuration lives.
    unsafe {
        let register = sys::apr_dynamic_fn_retrieve(c"ap_register_include_handler".as_ptr());
        let next = sys::apr_dynamic_fn_retrieve(c"ap_ssi_get_tag_and_value".as_ptr());
        let (Some(register), Some(next)) = (register, next) else { return };
        NEXT_WORD.store(next as *mut std::ffi::c_void, Ordering::Release);
        let register = std::mem::transmute::<unsafe extern "C" fn(), Register>(register);
        register(ELEMENT.as_ptr().cast_mut(), include);
    }
}

unsafe extern "C" fn include(
    context: *mut sys::include_ctx_t,
    filter: *mut sys::ap_filter_t,
    page: *mut sys::apr_bucket_brigade,
) -> apr_status_t {
    fence("an element of a page", sys::GANGWAY_EGENERAL, || {
        // SAFETY: mod_include calls this with its context, its filter of a live request of this thread, and a brigade for the call.
        let parts = unsafe { Request::from_raw((*filter).r).zip(given(page)) };
        let Some((request, mut page)) = parts else { return sys::GANGWAY_EGENERAL };
        // SAFETY: mod_include calls this with its own context, which lives for the call.
        let flags = unsafe { (*context).flags };
        // In a branch that is not taken.
        if flags & sys::SSI_FLAG_PRINTING as c_int == 0 {
            return 0;
        }
        let may_execute = flags & sys::SSI_FLAG_NO_EXEC as c_int == 0;
        // SAFETY: mod_include calls this with its context, whose words nobody else takes.
        let is_made = may_execute && unsafe { each_word(context, request, &mut page) };
        if !is_made {
            // SAFETY: mod_include keeps a C string here; the bucket is new.
            unsafe {
                let text = CStr::from_ptr((*context).error_str).to_bytes().to_vec();
                page.push(bucket(Bytes::Own(text), page.bucket_list()));
            }
        }
        0
    })
}

/// Makes what each word of the element says. Answers whether all of it could be made.
///
/// # Safety
/// `context` is mod_include's, for the element at which it is.
unsafe fn each_word<'r>(
    context: *mut sys::include_ctx_t,
    request: Request<'r>,
    page: &mut Brigade<'r>,
) -> bool {
    let (next, Some(run)) = (NEXT_WORD.load(Ordering::Acquire), RUN.get()) else { return false };
    if next.is_null() {
        return false;
    }
    // SAFETY: `register_include` has put a function of this type there.
    let next = unsafe { std::mem::transmute::<*mut std::ffi::c_void, NextWord>(next) };
    let mut is_any = false;
    loop {
        let (mut word, mut value) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the caller's promise; mod_include answers NULL, or C strings in a pool that lives as long as the element.
        let (word, code) = unsafe {
            next(context, &raw mut word, &raw mut value, sys::SSI_VALUE_RAW as c_int);
            if word.is_null() || value.is_null() {
                return is_any;
            }
            (CStr::from_ptr(word).to_bytes(), CStr::from_ptr(value).to_bytes().to_vec())
        };
        let Some(way) = WAYS.into_iter().find(|way| *way == word) else { return false };
        let mut source = request.brigade();
        // SAFETY: the allocator of a brigade lives as long as the brigade; the bucket is new.
        unsafe { source.push(bucket(Bytes::Own(code), source.bucket_list())) }
        source.push_end();
        if !run(request, way, Flow::of_part(request, source), page) {
            return false;
        }
        is_any = true;
    }
}

impl Session<'_> {
    /// A part of a page is made, and stands in the page from now on; of one that has failed nothing.
    pub(crate) fn end_part(&mut self, page: &mut Brigade<'_>, failed: bool) {
        let Some(flow) = self.flow.take() else { return };
        let mut end = flow.end_of_part();
        if failed {
            end.clear();
        }
        page.append(&mut end);
    }
}
