// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of directives, and a directive that is being read.

use std::{
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    iter,
    marker::PhantomData,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
};

use gangway::engine::fence;

use crate::{
    module::{Module, module_index},
    pool::Pool,
    sys::{self, ap_directive_t},
    text,
};

/// A directive that is being read.
#[derive(Clone, Copy, Debug)]
pub struct Command<'c> {
    raw: *mut sys::cmd_parms,
    module_index: c_int,
    life: PhantomData<&'c ()>,
}

/// A section that a directive stands in.
#[derive(Clone, Copy, Debug)]
pub struct Enclosing<'c> {
    /// Its name, with the opening bracket.
    pub name: &'c [u8],
    /// What follows the name, with the closing bracket.
    pub arguments: &'c [u8],
}

/// An expression that httpd has parsed, for as long as the pool of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Expression<'p> {
    raw: *mut sys::ap_expr_info_t,
    life: PhantomData<&'p ()>,
}

impl Expression<'_> {
    /// httpd's own.
    #[must_use]
    pub fn as_ptr(self) -> *mut sys::ap_expr_info_t {
        self.raw
    }
}

impl<'c> Command<'c> {
    /// Wraps what httpd gives to a directive's function of the module with that number.
    ///
    /// # Safety
    /// `raw` is live for `'c`, and so are the directives around it and the pool of the configuration.
    #[must_use]
    unsafe fn from_raw(raw: *mut sys::cmd_parms, module_index: c_int) -> Self {
        Self { raw, module_index, life: PhantomData }
    }

    /// The pool of the configuration.
    #[must_use]
    pub fn pool(&self) -> Pool<'c> {
        // SAFETY: `from_raw` promises the command and its pool, which only the thread that reads directives uses.
        unsafe { Pool::from_raw((*self.raw).pool) }
    }

    /// The server that the directive is about.
    #[must_use]
    pub fn server(&self) -> *mut sys::server_rec {
        // SAFETY: `from_raw` promises the command.
        unsafe { (*self.raw).server }
    }

    /// ServerRoot, to which paths in the configuration are relative.
    #[must_use]
    pub fn server_root(&self) -> &'c Path {
        // SAFETY: httpd sets it before it reads directives, to a string that outlives the configuration phase.
        let root = unsafe { text(sys::ap_server_root) };
        Path::new(OsStr::from_bytes(if root.is_empty() { b"/" } else { root }))
    }

    /// Where the directive stands, for messages.
    #[must_use]
    pub fn position(&self) -> String {
        // SAFETY: `from_raw` promises the command; httpd gives each one its directive, with the name of the file.
        let (file, line) = unsafe {
            let directive = (*self.raw).directive;
            (text((*directive).filename), (*directive).line_num)
        };
        format!("line {line} of {}", String::from_utf8_lossy(file))
    }

    /// Whether the directive stands outside of virtual hosts and sections.
    ///
    /// # Errors
    /// What httpd says to that.
    pub fn check_global(&self) -> Result<(), String> {
        // SAFETY: `from_raw` promises the command; the answer is NULL or a C string in its pool.
        let wrong = unsafe { text(sys::ap_check_cmd_context(self.raw, sys::GANGWAY_GLOBAL_ONLY)) };
        if wrong.is_empty() { Ok(()) } else { Err(String::from_utf8_lossy(wrong).into_owned()) }
    }

    /// Whether the directive stands in a file of a directory: .htaccess.
    #[must_use]
    pub fn is_in_htaccess(&self) -> bool {
        // SAFETY: `from_raw` promises the command; the answer is NULL or a C string in its pool.
        let wrong = unsafe { text(sys::ap_check_cmd_context(self.raw, sys::GANGWAY_NOT_IN_HTACCESS)) };
        !wrong.is_empty()
    }

    /// The file that the directive stands in.
    #[must_use]
    pub fn file(&self) -> &'c [u8] {
        // SAFETY: `from_raw` promises the command; httpd gives each one its directive, with the name of the file.
        unsafe { text((*(*self.raw).directive).filename) }
    }

    /// The sections that the directive stands in, from the inner to the outer.
    pub fn sections(&self) -> impl Iterator<Item = Enclosing<'c>> {
        // SAFETY: `from_raw` promises the command, and httpd gives each one its directive.
        let innermost = unsafe { (*(*self.raw).directive).parent };
        // SAFETY: `from_raw` promises the directives around, each NULL or live.
        let around =
            |section: &*mut ap_directive_t| unsafe { section.as_ref() }.map(|section| section.parent);
        iter::successors(Some(innermost), around)
            // SAFETY: `from_raw` promises the directives around; httpd's parser has given each C strings for its name and its
            // arguments, in the pool of the configuration.
            .map_while(|section| unsafe {
                let section: &ap_directive_t = section.as_ref()?;
                Some(Enclosing { name: text(section.directive), arguments: text(section.args) })
            })
    }

    /// The path of the innermost section as httpd has understood it; empty outside of one.
    #[must_use]
    pub fn path(&self) -> &'c [u8] {
        // SAFETY: `from_raw` promises the command; the path is NULL or a C string that lives as long.
        unsafe { text((*self.raw).path) }
    }

    /// Splits the rest of the line into words, by httpd's rules for quotes.
    ///
    /// # Safety
    /// `arguments` is the C string that httpd gave with this command.
    unsafe fn words(&self, arguments: *const c_char) -> Vec<&'c [u8]> {
        let mut rest = arguments;
        let mut words = Vec::new();
        // SAFETY: the caller gives a C string, along which ap_getword_conf moves `rest`; `from_raw` promises the command, whose pool for
        // temporary things outlives it.
        unsafe {
            while *rest != 0 {
                words.push(text(sys::ap_getword_conf((*self.raw).temp_pool, &raw mut rest)));
            }
        }
        words
    }

    /// Parses an expression of httpd's.
    ///
    /// # Errors
    /// What httpd says of it.
    pub fn expression(&self, source: &[u8], flags: u32) -> Result<Expression<'c>, String> {
        let mut error: *const c_char = ptr::null();
        // SAFETY: `from_raw` promises the command; the source is a C string in the configuration's pool, in which the expression lives too.
        let raw = unsafe {
            let source = self.pool().keep(source);
            sys::ap_expr_parse_cmd_mi(self.raw, source, flags, &raw mut error, None, self.module_index)
        };
        if error.is_null() {
            return Ok(Expression { raw, life: PhantomData });
        }
        // SAFETY: ap_expr_parse_cmd() answers NULL, which was asked for, or a C string in the command's pool.
        let reason = String::from_utf8_lossy(unsafe { text(error) });
        let source = String::from_utf8_lossy(source);
        Err(format!("has an expression \"{source}\" that httpd does not understand: {reason}"))
    }
}

/// What a directive does with its words.
pub type Setter<M> = for<'c> fn(&Command<'c>, &mut <M as Module>::Conf<'c>, &[&[u8]]) -> Result<(), String>;

/// Runs what a directive does, with the configuration of its section. Answers httpd's form of a result: NULL, or
/// the directive's name and the reason with something between them.
///
/// # Safety
/// As httpd calls the function of a directive of the module `M`: with a command, the configuration of its section and a C string.
pub unsafe fn run<M: Module>(
    (name, between): (&'static str, &str),
    raw: *mut sys::cmd_parms,
    conf: *mut c_void,
    arguments: *const c_char,
    setter: Setter<M>,
) -> *const c_char {
    fence(name, c"a programming error of the module; please report it".as_ptr(), || {
        // SAFETY: the caller promises what httpd calls with; `module::create` has made the configuration in the pool of the command, and
        // nobody else has it at this time.
        let (command, conf, words) = unsafe {
            let command = Command::from_raw(raw, module_index::<M>());
            (command, &mut *conf.cast::<M::Conf<'_>>(), command.words(arguments))
        };
        match setter(&command, conf, &words) {
            Ok(()) => ptr::null(),
            Err(reason) => command.pool().join(&[name.as_bytes(), between.as_bytes(), reason.as_bytes()]),
        }
    })
}

/// A function that httpd calls with the rest of the line.
pub type RawArgs = unsafe extern "C" fn(*mut sys::cmd_parms, *mut c_void, *const c_char) -> *const c_char;

/// The table of a module's directives, which [`END`] ends.
#[repr(transparent)]
pub struct Table<const N: usize>(pub [sys::command_rec; N]);

// SAFETY: httpd only reads it.
unsafe impl<const N: usize> Sync for Table<N> {}

/// A line of the table. `contexts`: where the directive may stand, as httpd has it.
#[must_use]
pub const fn directive(
    name: &'static CStr,
    function: RawArgs,
    contexts: u32,
    help: &'static CStr,
) -> sys::command_rec {
    sys::command_rec {
        name: name.as_ptr(),
        func: sys::cmd_func { raw_args: Some(function) },
        cmd_data: ptr::null_mut(),
        req_override: contexts as c_int,
        args_how: sys::RAW_ARGS,
        errmsg: help.as_ptr(),
    }
}

/// The end of a table.
pub const END: sys::command_rec = sys::command_rec {
    name: ptr::null(),
    func: sys::cmd_func { raw_args: None },
    cmd_data: ptr::null_mut(),
    req_override: 0,
    args_how: sys::RAW_ARGS,
    errmsg: ptr::null(),
};

/// Text that stands in the program and ends with a NUL.
#[must_use]
pub const fn c_string(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    }
}

/// The table of a module, and the functions that httpd calls, each for the directive of the same line.
#[macro_export]
macro_rules! directives {
    ($module:ty, $between:literal; $($function:ident, $name:literal, $contexts:expr, $help:literal, $setter:expr;)*) => {
        $(unsafe extern "C" fn $function(
            raw: *mut $crate::sys::cmd_parms,
            conf: *mut ::std::ffi::c_void,
            words: *const ::std::ffi::c_char,
        ) -> *const ::std::ffi::c_char {
            // SAFETY: httpd calls this with a live command, the section's configuration of this module and a C string.
            unsafe { $crate::directive::run::<$module>(($name, $between), raw, conf, words, $setter) }
        })*

        /// The table, for the module.
        pub(crate) static TABLE: $crate::directive::Table<{ [$($name),*].len() + 1 }> =
            $crate::directive::Table([
                $($crate::directive::directive(
                    $crate::directive::c_string(concat!($name, "\0")),
                    $function,
                    $contexts,
                    $crate::directive::c_string(concat!($help, "\0")),
                ),)*
                $crate::directive::END,
            ]);
    };
}
