// SPDX-License-Identifier: MIT OR Apache-2.0
//! A type of bucket for memory that is not httpd's: what a handler wrote or lent leaves without another copy.

use std::{
    ffi::{c_char, c_void},
    ptr,
};

use gangway::{engine::fence, exchange::Lent};

use super::sys::{self, apr_bucket};

/// The memory behind a bucket, and behind those that httpd splits or copies from it.
#[repr(C)]
struct Shared {
    /// APR's, which wants it first.
    refcount: sys::apr_bucket_refcount,
    bytes: Bytes,
}

/// Who owns the memory. Dropping it frees it or gives it back, on any thread.
pub(super) enum Bytes {
    Own(Vec<u8>),
    Lent(Lent),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Lent(lent) => lent.as_slice(),
        }
    }
}

#[repr(transparent)]
struct Type(sys::apr_bucket_type_t);

// SAFETY: only read.
unsafe impl Sync for Type {}

static TYPE: Type = Type(sys::apr_bucket_type_t {
    name: c"GANGWAY".as_ptr(),
    num_func: 5,
    is_metadata: sys::APR_BUCKET_DATA,
    destroy: Some(destroy),
    read: Some(read),
    // The memory does not belong to a request or a connection: it can be kept for as long as anybody likes.
    setaside: Some(sys::apr_bucket_setaside_noop),
    split: Some(sys::apr_bucket_shared_split),
    copy: Some(sys::apr_bucket_shared_copy),
});

/// Makes a bucket of bytes.
///
/// # Safety
/// `list` is the live allocator of the connection that the bucket is for.
pub(super) unsafe fn bucket(bytes: Bytes, list: *mut sys::apr_bucket_alloc_t) -> *mut apr_bucket {
    let length = bytes.as_slice().len();
    let refcount = sys::apr_bucket_refcount { refcount: 0 };
    let shared = Box::into_raw(Box::new(Shared { refcount, bytes }));
    // SAFETY: APR_BUCKET_INIT and the rest of what APR's own types do; the allocator gives memory of this size
    // or aborts. apr_bucket_shared_make sets data, start, length and the count.
    unsafe {
        let bucket = sys::apr_bucket_alloc(size_of::<apr_bucket>(), list).cast::<apr_bucket>();
        (*bucket).link.next = bucket;
        (*bucket).link.prev = bucket;
        (*bucket).free = Some(sys::apr_bucket_free);
        (*bucket).list = list;
        sys::apr_bucket_shared_make(bucket, shared.cast(), 0, length);
        (*bucket).type_ = &raw const TYPE.0;
        bucket
    }
}

unsafe extern "C" fn destroy(data: *mut c_void) {
    fence("a bucket's end", (), || {
        // SAFETY: APR calls this with the data of a bucket of this type; the last one frees it.
        unsafe {
            if sys::apr_bucket_shared_destroy(data) != 0 {
                drop(Box::from_raw(data.cast::<Shared>()));
            }
        }
    });
}

unsafe extern "C" fn read(
    bucket: *mut apr_bucket,
    start: *mut *const c_char,
    length: *mut sys::apr_size_t,
    _block: sys::apr_read_type_e,
) -> sys::apr_status_t {
    // SAFETY: APR calls this with a live bucket of this type and two places to write to; a bucket's start and
    // length stay within its data.
    unsafe {
        let bytes = (*(*bucket).data.cast::<Shared>()).bytes.as_slice();
        let from = usize::try_from((*bucket).start).ok().and_then(|at| bytes.get(at..));
        *start = from.map_or(ptr::null(), <[u8]>::as_ptr).cast();
        *length = from.map_or(0, |_| (*bucket).length);
    }
    0
}
