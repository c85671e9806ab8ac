// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a module presents itself to httpd, and what httpd keeps for it.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
};

use gangway::engine::fence;

use crate::{
    log::Log,
    pool::Pool,
    sys::{self, ap_conf_vector_t, apr_pool_t, command_rec},
};

/// A module of httpd's.
///
/// # Safety
/// `record` answers where the module's own record stands, for as long as httpd runs, and that record was made by [`module`] for
/// this type: so all that httpd keeps for the module is a `Conf`.
pub unsafe trait Module: Copy + 'static {
    /// What `LoadModule` and the lines of the log call it.
    const NAME: &'static CStr;

    /// What a section of the configuration says: plain data, for as long as the pool of the configuration.
    type Conf<'p>: Copy + Default + 'p;

    /// The module's record.
    fn record() -> *const sys::module;

    /// What an inner section and the one around it say together.
    fn merge<'p>(outer: &Self::Conf<'p>, inner: &Self::Conf<'p>, pool: Pool<'p>) -> Self::Conf<'p>;

    /// The lines of the module.
    const LOG: Log = Log { source: Self::NAME, module_index: module_index::<Self> };
}

/// The number of the module, by which httpd finds what is the module's own.
#[must_use]
pub fn module_index<M: Module>() -> c_int {
    // SAFETY: `Module` promises the record; httpd writes the number while it loads modules, on one thread, before it calls
    // anything of the module's.
    unsafe { (&raw const (*M::record()).module_index).read() }
}

/// Registers the hooks.
pub type Register = unsafe extern "C" fn(*mut apr_pool_t);

/// The record of a module with a configuration by section, as `LoadModule` looks for it.
#[must_use]
pub const fn module<M: Module>(commands: *const command_rec, register: Register) -> sys::module {
    sys::module {
        version: sys::MODULE_MAGIC_NUMBER_MAJOR as c_int,
        minor_version: sys::MODULE_MAGIC_NUMBER_MINOR as c_int,
        module_index: -1,
        name: M::NAME.as_ptr(),
        dynamic_load_handle: ptr::null_mut(),
        next: ptr::null_mut(),
        magic: sys::GANGWAY_MAGIC_COOKIE,
        rewrite_args: None,
        create_dir_config: Some(create::<M>),
        merge_dir_config: Some(merge::<M>),
        create_server_config: None,
        merge_server_config: None,
        cmds: commands,
        register_hooks: Some(register),
        flags: 0,
    }
}

unsafe extern "C" fn create<M: Module>(pool: *mut apr_pool_t, _path: *mut c_char) -> *mut c_void {
    // SAFETY: httpd makes the configuration of a section in a pool that lives as long as that configuration.
    let pool = unsafe { Pool::from_raw(pool) };
    ptr::from_mut(pool.put(M::Conf::default())).cast()
}

unsafe extern "C" fn merge<M: Module>(
    pool: *mut apr_pool_t,
    outer: *mut c_void,
    inner: *mut c_void,
) -> *mut c_void {
    fence("merge", outer, || {
        // SAFETY: httpd merges two configurations that `create` or this function has made, into a pool that does not outlive
        // theirs.
        let (pool, outer, inner) =
            unsafe { (Pool::from_raw(pool), &*outer.cast::<M::Conf<'_>>(), &*inner.cast::<M::Conf<'_>>()) };
        ptr::from_mut(pool.put(M::merge(outer, inner, pool))).cast()
    })
}

/// `ap_get_module_config`: the place of a module in a list of configurations or of a request's own data.
///
/// # Safety
/// The list is httpd's, made when the module was loaded already.
#[must_use]
pub unsafe fn place_of(vector: *mut ap_conf_vector_t, module_index: c_int) -> *mut *mut c_void {
    let index = usize::try_from(module_index).unwrap_or(0);
    // SAFETY: a list of httpd's has a place for each module that was loaded before the list was made.
    unsafe { vector.cast::<*mut c_void>().add(index) }
}

/// Names of other modules, for httpd's order of hooks, with NULL behind them.
#[repr(transparent)]
#[derive(Debug)]
pub struct ModuleNames<const N: usize>([*const c_char; N]);

// SAFETY: nobody writes to the list or to the names, which live for the process.
unsafe impl<const N: usize> Sync for ModuleNames<N> {}

impl<const N: usize> ModuleNames<N> {
    /// The list of these names; the last one is replaced by the NULL.
    #[must_use]
    pub const fn new(names: [&'static CStr; N]) -> Self {
        let mut list = [ptr::null(); N];
        let mut at = 0;
        while at + 1 < N {
            list[at] = names[at].as_ptr();
            at += 1;
        }
        Self(list)
    }

    /// As httpd reads it.
    #[must_use]
    pub const fn as_ptr(&'static self) -> *const *const c_char {
        self.0.as_ptr()
    }
}
