// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists of buckets: bodies on their way through httpd's filters.

use std::{
    ffi::{c_char, c_int},
    marker::PhantomData,
    ptr::{self, NonNull},
    slice,
};

use crate::{
    pool::Pool,
    sys::{self, apr_bucket, apr_bucket_brigade},
};

/// Whether a read waits for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// It does.
    Blocking,
    /// It gives what is there.
    NonBlocking,
}

impl ReadMode {
    pub(crate) fn for_apr(self) -> sys::apr_read_type_e {
        match self {
            Self::Blocking => sys::APR_BLOCK_READ,
            Self::NonBlocking => sys::APR_NONBLOCK_READ,
        }
    }
}

/// A list of buckets in a pool that lives for `'r`.
#[derive(Debug)]
pub struct Brigade<'r> {
    raw: NonNull<apr_bucket_brigade>,
    life: PhantomData<&'r mut ()>,
}

impl<'r> Brigade<'r> {
    /// An empty one.
    ///
    /// # Safety
    /// `list` lives as long as the pool, and only this thread uses it meanwhile.
    #[must_use]
    pub unsafe fn new(pool: Pool<'r>, list: *mut sys::apr_bucket_alloc_t) -> Self {
        // SAFETY: the pool is live, and the caller promises the same of the allocator. APR aborts without memory.
        unsafe { Self::from_raw(NonNull::new_unchecked(sys::apr_brigade_create(pool.as_ptr(), list))) }
    }

    /// Wraps one.
    ///
    /// # Safety
    /// It lives for `'r`, its ring is whole, and nobody else uses it or its buckets meanwhile.
    #[must_use]
    pub unsafe fn from_raw(raw: NonNull<apr_bucket_brigade>) -> Self {
        Self { raw, life: PhantomData }
    }

    /// APR's own.
    #[must_use]
    pub fn as_ptr(&self) -> *mut apr_bucket_brigade {
        self.raw.as_ptr()
    }

    /// What makes buckets for it.
    #[must_use]
    pub fn bucket_list(&self) -> *mut sys::apr_bucket_alloc_t {
        // SAFETY: `from_raw` promises a live brigade.
        unsafe { (*self.as_ptr()).bucket_alloc }
    }

    /// APR_BRIGADE_SENTINEL: the ring's head, seen as a bucket whose first member is the link.
    fn sentinel(&self) -> *mut apr_bucket {
        const { assert!(std::mem::offset_of!(apr_bucket, link) == 0) }
        // SAFETY: only an address inside of the brigade, which `from_raw` promises to be live.
        unsafe { (&raw mut (*self.as_ptr()).list).cast() }
    }

    /// Whether there is no bucket in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        // SAFETY: `from_raw` promises a live brigade whose ring is whole.
        unsafe { (*self.as_ptr()).list.next == self.sentinel() }
    }

    /// The first bucket.
    pub fn first(&mut self) -> Option<Bucket<'_>> {
        // SAFETY: `from_raw` promises a live brigade whose ring is whole; nobody else has its buckets.
        let first = unsafe { (*self.as_ptr()).list.next };
        NonNull::new(first).filter(|_| first != self.sentinel()).map(|raw| Bucket { raw, life: PhantomData })
    }

    /// Whether the last bucket is the end of a body.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        // SAFETY: `from_raw` promises a live brigade whose ring is whole; what is not its head is a bucket.
        unsafe {
            let last = (*self.as_ptr()).list.prev;
            last != self.sentinel() && is_end(last)
        }
    }

    /// Takes all buckets out.
    pub fn clear(&mut self) {
        // SAFETY: `from_raw` promises a live brigade whose ring is whole.
        unsafe {
            sys::apr_brigade_cleanup(self.as_ptr().cast());
        }
    }

    /// APR_BRIGADE_CONCAT: takes what is in another one of the connection, behind what is in this one.
    pub fn append(&mut self, from: &mut Brigade<'_>) {
        if from.is_empty() {
            return;
        }
        // SAFETY: `from_raw` promises two live brigades whose rings are whole, and they are two: both are borrowed. Both are of one
        // connection, whose allocator has the buckets for as long as it lives, whatever the pool of a brigade.
        unsafe {
            let (to, from_list) = (&raw mut (*self.as_ptr()).list, &raw mut (*from.as_ptr()).list);
            let (first, last, tail) = ((*from_list).next, (*from_list).prev, (*to).prev);
            (*tail).link.next = first;
            (*first).link.prev = tail;
            (*last).link.next = self.sentinel();
            (*to).prev = last;
            (*from_list).next = from.sentinel();
            (*from_list).prev = from.sentinel();
        }
    }

    /// Moves the first bucket behind what is in another one, if there is one.
    pub fn move_first(&mut self, to: &mut Brigade<'_>) {
        let Some(bucket) = self.first() else { return };
        let raw = bucket.raw.as_ptr();
        // SAFETY: APR_BUCKET_REMOVE, of a live bucket in a ring that is whole: it is in none then. Both brigades are of one connection,
        // and so of one allocator, which has the buckets for as long as it lives.
        unsafe {
            (*(*raw).link.prev).link.next = (*raw).link.next;
            (*(*raw).link.next).link.prev = (*raw).link.prev;
            to.push(raw);
        }
    }

    /// APR_BRIGADE_INSERT_TAIL.
    ///
    /// # Safety
    /// `bucket` is a new one of this brigade's allocator, in no ring.
    pub unsafe fn push(&mut self, bucket: *mut apr_bucket) {
        // SAFETY: `from_raw` promises a live brigade whose ring is whole, and the caller a bucket that is in none.
        unsafe {
            let list = &raw mut (*self.as_ptr()).list;
            let last = (*list).prev;
            (*bucket).link.next = self.sentinel();
            (*bucket).link.prev = last;
            (*last).link.next = bucket;
            (*list).prev = bucket;
        }
    }

    /// Makes httpd send all that stands before.
    pub fn push_flush(&mut self) {
        // SAFETY: the brigade's allocator lives as long as the brigade; the bucket is new.
        unsafe { self.push(sys::apr_bucket_flush_create(self.bucket_list())) }
    }

    /// Ends the body.
    pub fn push_end(&mut self) {
        // SAFETY: the brigade's allocator lives as long as the brigade; the bucket is new.
        unsafe { self.push(sys::apr_bucket_eos_create(self.bucket_list())) }
    }
}

/// A list of buckets of a request, between two calls for it.
#[derive(Debug)]
pub struct KeptBrigade(NonNull<apr_bucket_brigade>);

impl KeptBrigade {
    /// Keeps one.
    ///
    /// # Safety
    /// What is made is not used when the pool of the brigade is freed, and on its thread alone.
    #[must_use]
    pub unsafe fn new(brigade: Brigade<'_>) -> Self {
        Self(brigade.raw)
    }

    /// For a call.
    pub fn lend(&mut self) -> Brigade<'_> {
        // SAFETY: a live brigade was kept, whose pool is there as long as this is, and which is borrowed here.
        unsafe { Brigade::from_raw(self.0) }
    }

    /// For a call of the request that has kept it.
    ///
    /// # Safety
    /// The pool of the brigade lives for `'r`.
    #[must_use]
    pub unsafe fn give_back<'r>(self) -> Brigade<'r> {
        // SAFETY: a live brigade was kept, nobody else has it, and the caller says how long its pool lives.
        unsafe { Brigade::from_raw(self.0) }
    }
}

/// # Safety
/// A live bucket.
unsafe fn is_end(bucket: *mut apr_bucket) -> bool {
    // SAFETY: the caller's bucket has a type, and there is one type for ends.
    unsafe { ptr::eq((*bucket).type_, &raw const sys::apr_bucket_type_eos) }
}

/// The first bucket of a brigade that is borrowed for `'b`.
#[derive(Debug)]
pub struct Bucket<'b> {
    raw: NonNull<apr_bucket>,
    life: PhantomData<&'b mut ()>,
}

impl Bucket<'_> {
    /// Whether the body ends here.
    #[must_use]
    pub fn is_end(&self) -> bool {
        // SAFETY: a bucket of a borrowed brigade is live.
        unsafe { is_end(self.raw.as_ptr()) }
    }

    /// Whether it holds bytes, not metadata.
    #[must_use]
    pub fn is_data(&self) -> bool {
        // SAFETY: a bucket of a borrowed brigade is live.
        unsafe { (*(*self.raw.as_ptr()).type_).is_metadata == sys::APR_BUCKET_DATA }
    }

    /// Its bytes; one of metadata has none. That of a file or a pipe becomes one of memory, with one of the rest behind it.
    ///
    /// # Errors
    /// APR's status.
    pub fn read(&mut self, mode: ReadMode) -> Result<&[u8], c_int> {
        let (mut start, mut length): (*const c_char, usize) = (ptr::null(), 0);
        let bucket = self.raw.as_ptr();
        // SAFETY: a bucket of a borrowed brigade is live and in a ring that is whole. What it gives stays as long as nobody else gets at
        // the bucket.
        unsafe {
            let Some(read) = (*(*bucket).type_).read.filter(|_| self.is_data()) else { return Ok(&[]) };
            match read(bucket, &raw mut start, &raw mut length, mode.for_apr()) {
                0 if length == 0 => Ok(&[]),
                0 => Ok(slice::from_raw_parts(start.cast(), length)),
                status => Err(status),
            }
        }
    }

    /// Leaves at most so many bytes in it, and a bucket of the rest behind it. Not every type can be split: such a one stays whole.
    pub fn split(&mut self, most: usize) {
        let bucket = self.raw.as_ptr();
        // SAFETY: a bucket of a borrowed brigade is live and in a ring that is whole; usize::MAX stands for a length that is not known.
        unsafe {
            if self.is_data() && (*bucket).length > most && (*bucket).length != usize::MAX {
                let _ = (*(*bucket).type_).split.map(|split| split(bucket, most));
            }
        }
    }

    /// How many bytes it is known to hold.
    #[must_use]
    pub fn known_length(&self) -> usize {
        // SAFETY: a bucket of a borrowed brigade is live; usize::MAX stands for a length that is not known.
        unsafe { (*self.raw.as_ptr()).length }
    }

    /// apr_bucket_delete.
    pub fn delete(self) {
        let bucket = self.raw.as_ptr();
        // SAFETY: APR_BUCKET_REMOVE and apr_bucket_destroy, of a live bucket in a ring that is whole; nobody else has it.
        unsafe {
            (*(*bucket).link.prev).link.next = (*bucket).link.next;
            (*(*bucket).link.next).link.prev = (*bucket).link.prev;
            if let Some(destroy) = (*(*bucket).type_).destroy {
                destroy((*bucket).data);
            }
            if let Some(free) = (*bucket).free {
                free(bucket.cast());
            }
        }
    }
}
