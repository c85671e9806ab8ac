// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configuration: directives, their words, and values of ours that live as long as a cycle.

use std::{
    ffi::{CStr, c_char, c_void},
    path::Path,
    ptr,
};

use nginx_sys::{
    ngx_array_push, ngx_command_t, ngx_conf_log_error, ngx_conf_t, ngx_http_compile_complex_value,
    ngx_http_compile_complex_value_t, ngx_http_complex_value_t, ngx_http_core_loc_conf_t,
    ngx_http_core_main_conf_t, ngx_http_core_module, ngx_http_get_variable_index, ngx_http_handler_pt,
    ngx_http_request_t, ngx_int_t, ngx_module_t, ngx_palloc, ngx_pcalloc, ngx_pool_cleanup_add, ngx_pool_t,
    ngx_str_t, ngx_uint_t,
};

use super::text::{ALIAS_OF_ALL, is_regex, str_bytes};

/// A setter as nginx calls it.
pub(crate) type Setter =
    unsafe extern "C" fn(*mut ngx_conf_t, *mut ngx_command_t, *mut c_void) -> *mut c_char;

/// A directive. `conf` is the offset of the configuration that the setter gets.
pub(crate) const fn command(
    name: &'static CStr,
    contexts: u32,
    setter: Setter,
    conf: usize,
) -> ngx_command_t {
    ngx_command_t {
        // nginx compares names as C strings.
        name: ngx_str_t { len: name.count_bytes(), data: name.as_ptr().cast_mut().cast() },
        type_: contexts as ngx_uint_t,
        set: Some(setter),
        conf: conf as ngx_uint_t,
        offset: 0,
        post: ptr::null_mut(),
    }
}

/// The end of a table of directives.
pub(crate) const fn command_end() -> ngx_command_t {
    ngx_command_t::empty()
}

/// Memory of a cycle for a message or a value.
///
/// # Safety
/// `pool` is live.
unsafe fn copy(pool: *mut ngx_pool_t, bytes: &[u8]) -> Option<ngx_str_t> {
    // SAFETY: the caller's pool is live; one byte more makes a C string.
    let data = unsafe { ngx_palloc(pool, bytes.len() + 1) }.cast::<u8>();
    if data.is_null() {
        return None;
    }
    // SAFETY: fresh memory of that size.
    unsafe {
        ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
        data.add(bytes.len()).write(0);
    }
    Some(ngx_str_t { len: bytes.len(), data })
}

/// The answer of a setter that failed: nginx prints it after the directive's name, with file and line.
pub(crate) fn error_text(conf: &Conf, text: &str) -> *mut c_char {
    // SAFETY: the pool of a configuration phase is live in it. NGX_CONF_ERROR is (void *) -1.
    match unsafe { copy((*conf.raw).pool, text.as_bytes()) } {
        Some(text) => text.data.cast(),
        None => ptr::without_provenance_mut(usize::MAX),
    }
}

/// Gives a value to a pool: it is dropped when the pool is destroyed.
///
/// # Safety
/// `pool` is live.
pub(crate) unsafe fn own<T>(pool: *mut ngx_pool_t, value: T) -> *mut T {
    unsafe extern "C" fn drop_value<T>(data: *mut c_void) {
        gangway::engine::fence("a configuration's end", (), || {
            // SAFETY: `own` has written the value there, and nginx calls a cleanup once, before it frees the memory.
            unsafe { data.cast::<T>().drop_in_place() }
        });
    }
    // NGX_ALIGNMENT.
    const { assert!(align_of::<T>() <= align_of::<usize>() && size_of::<T>() > 0) };
    // SAFETY: the caller's pool is live; its memory for a cleanup is as large as asked for and aligned to NGX_ALIGNMENT.
    unsafe {
        let cleanup = ngx_pool_cleanup_add(pool, size_of::<T>());
        if cleanup.is_null() {
            return ptr::null_mut();
        }
        let place = (*cleanup).data.cast::<T>();
        place.write(value);
        (*cleanup).handler = Some(drop_value::<T>);
        place
    }
}

/// A text of the configuration with nginx's variables in it.
#[derive(Clone, Copy)]
pub(crate) struct ConfText(*mut ngx_http_complex_value_t);

impl ConfText {
    /// Whether the text has no variables.
    pub(crate) fn is_constant(self) -> bool {
        // SAFETY: NULL, or made by ngx_http_compile_complex_value(), and lives as long as the cycle.
        unsafe { self.0.as_ref() }.is_none_or(|value| value.lengths.is_null())
    }

    /// A text that another module has compiled.
    ///
    /// # Safety
    /// NULL, or the cycle's.
    pub(super) unsafe fn from_module(value: *mut ngx_http_complex_value_t) -> Self {
        Self(value)
    }

    pub(crate) fn raw(self) -> *mut ngx_http_complex_value_t {
        self.0
    }
}

/// A phase of requests.
#[derive(Clone, Copy)]
pub(crate) enum Phase {
    /// After nginx's own handlers of the phase, such as `set_real_ip_from`.
    PostRead,
    /// After nginx's own handlers of the phase.
    ServerRewrite,
    Rewrite,
    /// After nginx's own handlers of the phase.
    LateRewrite,
    Access,
    /// After nginx's own handlers of the phase, such as `deny`.
    LateAccess,
    /// After nginx's own handlers of the phase, such as `try_files`.
    Precontent,
    /// Before those of the phase that write logs: nginx calls them from the first to the last.
    Log,
}

/// A configuration phase.
pub(crate) struct Conf {
    raw: *mut ngx_conf_t,
}

impl Conf {
    /// # Safety
    /// `raw` is the live configuration phase that a callback got.
    pub(crate) unsafe fn from_raw(raw: *mut ngx_conf_t) -> Self {
        Self { raw }
    }

    pub(crate) fn raw(&self) -> *mut ngx_conf_t {
        self.raw
    }

    /// The line of a failure in a merge. nginx adds the end of the http block as the place, so the block is named here.
    pub(crate) fn fail(&self, text: &str) {
        // SAFETY: the core module's configuration exists for every block.
        let name = unsafe { (*self.core_location()).name };
        let place = if name.len == 0 {
            "outside of locations".into()
        } else {
            format!("in location \"{}\"", String::from_utf8_lossy(name.as_bytes()))
        };
        self.print(nginx_sys::NGX_LOG_EMERG, &format!("{text} ({place})"));
    }

    /// Writes a warning with the place of the directive.
    pub(crate) fn warn(&self, text: &str) {
        self.print(nginx_sys::NGX_LOG_WARN, text);
    }

    fn print(&self, level: u32, text: &str) {
        // SAFETY: "%*s" takes a size_t and that many bytes.
        unsafe {
            ngx_conf_log_error(level as ngx_uint_t, self.raw, 0, c"%*s".as_ptr(), text.len(), text.as_ptr());
        }
    }

    /// The words of the directive, its name first.
    pub(crate) fn words(&self) -> Vec<&[u8]> {
        // SAFETY: while a setter runs `args` is an array of strings that live as long as the cycle.
        let words: &[ngx_str_t] = unsafe { (*(*self.raw).args).as_slice() };
        // SAFETY: a directive's words live as long as the cycle, and nobody changes them.
        words.iter().map(|word| unsafe { str_bytes(word) }).collect()
    }

    /// The word after the directive, as nginx has it: NUL follows it in memory, and it lives as long as the cycle.
    pub(crate) fn first_word(&self) -> ngx_str_t {
        // SAFETY: while a setter runs `args` is an array of strings that live as long as the cycle.
        let words: &[ngx_str_t] = unsafe { (*(*self.raw).args).as_slice() };
        words.get(1).copied().unwrap_or(ngx_str_t::empty())
    }

    /// The prefix of relative paths: that of the configuration file, as for nginx's own files.
    pub(crate) fn prefix(&self) -> &Path {
        use std::os::unix::ffi::OsStrExt;
        // SAFETY: the cycle of a configuration phase is live and its strings stay unchanged.
        let prefix = unsafe { str_bytes(&(*(*self.raw).cycle).conf_prefix) };
        Path::new(std::ffi::OsStr::from_bytes(prefix))
    }

    /// The prefix of nginx itself (`nginx -p`).
    pub(crate) fn server_root(&self) -> &Path {
        use std::os::unix::ffi::OsStrExt;
        // SAFETY: the cycle of a configuration phase is live and its strings stay unchanged.
        let prefix = unsafe { str_bytes(&(*(*self.raw).cycle).prefix) };
        Path::new(std::ffi::OsStr::from_bytes(prefix))
    }

    /// Gives a value to the cycle.
    pub(crate) fn own<T>(&self, value: T) -> *mut T {
        // SAFETY: the pool of a configuration phase is live in it.
        unsafe { own((*self.raw).pool, value) }
    }

    /// The configuration of `module` at this place.
    pub(crate) fn module_conf<T>(&self, module: &ngx_module_t, level: usize) -> *mut T {
        // SAFETY: in an http block `ctx` is an ngx_http_conf_ctx_t whose arrays have a slot for each http module.
        unsafe {
            let context = (*self.raw).ctx.cast::<u8>().add(level).cast::<*mut *mut c_void>();
            (*(*context).add(module.ctx_index)).cast()
        }
    }

    fn core_location(&self) -> *mut ngx_http_core_loc_conf_t {
        // SAFETY: nginx has numbered its modules before any configuration is read.
        let module = unsafe { &*ptr::addr_of!(ngx_http_core_module) };
        self.module_conf(module, nginx_sys::NGX_HTTP_LOC_CONF_OFFSET)
    }

    /// The path of this location. Regular expressions and names of locations are no paths.
    pub(crate) fn location_path(&self) -> Vec<u8> {
        // SAFETY: the core module's configuration exists for every location before its directives run.
        let location = unsafe { &*self.core_location() };
        if location.named() != 0 || is_regex(location) {
            Vec::new()
        } else {
            location.name.as_bytes().to_vec()
        }
    }

    /// Whether anything in the configuration uses this variable of ours. To be asked when the http block is read.
    pub(crate) fn uses_variable(&self, name: &[u8]) -> bool {
        // SAFETY: the main configuration of the core module is there, with the array of variables that have a number.
        unsafe {
            let core: *mut ngx_http_core_main_conf_t =
                self.module_conf(&*ptr::addr_of!(ngx_http_core_module), nginx_sys::NGX_HTTP_MAIN_CONF_OFFSET);
            let all = (*core).variables.as_slice::<nginx_sys::ngx_http_variable_t>();
            all.iter().any(|variable| variable.name.as_bytes() == name)
        }
    }

    /// Whether clients cannot ask for this location by themselves.
    pub(crate) fn is_internal(&self) -> bool {
        // SAFETY: the core module's configuration exists for every location before its directives run.
        unsafe { &*self.core_location() }.internal == 1
    }

    /// What stands behind `location`: a path, a regular expression or a name. Nothing in a block without one.
    pub(crate) fn location_name(&self) -> Vec<u8> {
        // SAFETY: the core module's configuration exists for every location before its directives run.
        unsafe { &*self.core_location() }.name.as_bytes().to_vec()
    }

    /// The folder in which `alias` with captures begins to depend on the last of them: for `/home/$1/cgi-bin/$2`,
    /// `/home/$1/cgi-bin/`. `None` where the alias is not the whole path.
    pub(crate) fn captured_alias(&self) -> Option<&[u8]> {
        // SAFETY: nginx merges the core module's configuration of a location before those of other modules.
        let location = unsafe { &*self.core_location() };
        if location.alias != ALIAS_OF_ALL {
            return None;
        }
        // SAFETY: the strings of a cycle stay unchanged.
        let text = unsafe { str_bytes(&location.root) };
        let fixed = text.get(..text.iter().rposition(|byte| *byte == b'$')?)?;
        fixed.get(..=fixed.iter().rposition(|byte| *byte == b'/')?)
    }

    /// Lets `handler` answer the requests of this location.
    pub(crate) fn set_content_handler(
        &self,
        handler: unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t,
    ) {
        // SAFETY: the core module's configuration of a location exists before its directives run and when it is merged.
        unsafe { (*self.core_location()).handler = Some(handler) }
    }

    /// Whether a directive of this block has given it a handler.
    pub(crate) fn has_content_handler(&self) -> bool {
        // SAFETY: the core module's configuration of a location exists before its directives run and when it is merged.
        unsafe { (*self.core_location()).handler.is_some() }
    }

    /// A location whose path ends in `/` answers the path without it by a redirect, as those of nginx's own handlers.
    pub(crate) fn redirect_to_slash(&self) {
        // SAFETY: the core module's configuration of a location exists before its directives run and when it is merged.
        let location = unsafe { &mut *self.core_location() };
        if location.name.as_bytes().ends_with(b"/") {
            location.set_auto_redirect(1);
        }
    }

    /// Whether this is the block of an `if` or a `limit_except`.
    pub(crate) fn is_nameless_block(&self) -> bool {
        // SAFETY: the core module's configuration of a location exists before its directives run and when it is merged.
        unsafe { (*self.core_location()).noname() != 0 }
    }

    /// Lets `handler` answer in a `limit_except` that has no handler of its own: its block replaces the location's.
    pub(crate) fn set_limit_except_handler(
        &self,
        handler: unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t,
    ) {
        // SAFETY: the core module's configuration of a location exists before its directives run and when it is merged.
        let location = unsafe { &mut *self.core_location() };
        if location.lmt_excpt() != 0 && location.handler.is_none() {
            location.handler = Some(handler);
        }
    }

    /// Lets the subrequests of this location that are kept in memory have so many bytes.
    pub(crate) fn keep_subrequests_in_memory(&self, bytes: usize) {
        // SAFETY: nginx merges the core module's configuration of a location before those of other modules.
        let size = unsafe { &mut (*self.core_location()).subrequest_output_buffer_size };
        *size = (*size).max(bytes);
    }

    /// Adds a handler to a phase. Answers false without memory.
    pub(crate) fn add_phase_handler(
        &self,
        phase: Phase,
        handler: unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t,
    ) -> bool {
        // SAFETY: in postconfiguration the core module's phases have their arrays of handlers.
        unsafe {
            let core: *mut ngx_http_core_main_conf_t =
                self.module_conf(&*ptr::addr_of!(ngx_http_core_module), nginx_sys::NGX_HTTP_MAIN_CONF_OFFSET);
            let number = match phase {
                Phase::PostRead => nginx_sys::ngx_http_phases_NGX_HTTP_POST_READ_PHASE,
                Phase::ServerRewrite => nginx_sys::ngx_http_phases_NGX_HTTP_SERVER_REWRITE_PHASE,
                Phase::Rewrite | Phase::LateRewrite => nginx_sys::ngx_http_phases_NGX_HTTP_REWRITE_PHASE,
                Phase::Access | Phase::LateAccess => nginx_sys::ngx_http_phases_NGX_HTTP_ACCESS_PHASE,
                Phase::Precontent => nginx_sys::ngx_http_phases_NGX_HTTP_PRECONTENT_PHASE,
                Phase::Log => nginx_sys::ngx_http_phases_NGX_HTTP_LOG_PHASE,
            };
            let handlers = &raw mut (*core).phases[number as usize].handlers;
            let slot = ngx_array_push(handlers).cast::<ngx_http_handler_pt>();
            if slot.is_null() {
                return false;
            }
            slot.write(Some(handler));
            if !matches!(phase, Phase::Rewrite | Phase::Access) {
                // nginx calls them from the last to the first.
                let (first, count) = ((*handlers).elts.cast::<ngx_http_handler_pt>(), (*handlers).nelts);
                ptr::copy(first, first.add(1), count - 1);
                first.write(Some(handler));
            }
            true
        }
    }

    /// Compiles a text with variables.
    pub(crate) fn compile(&self, text: &[u8]) -> Option<ConfText> {
        // SAFETY: the pool is live; all-zero is what the C code starts from.
        unsafe {
            let value = ngx_pcalloc((*self.raw).pool, size_of::<ngx_http_complex_value_t>()).cast();
            let mut source = copy((*self.raw).pool, text)?;
            let mut compile: ngx_http_compile_complex_value_t = std::mem::zeroed();
            compile.cf = self.raw;
            compile.value = &raw mut source;
            compile.complex_value = value;
            let failed = value.is_null() || ngx_http_compile_complex_value(&raw mut compile) != 0;
            (!failed).then_some(ConfText(value))
        }
    }

    /// The index of one of nginx's variables.
    pub(crate) fn variable(&self, name: &'static [u8]) -> Option<ngx_int_t> {
        let mut name = ngx_str_t { len: name.len(), data: name.as_ptr().cast_mut() };
        // SAFETY: nginx copies the name.
        let index = unsafe { ngx_http_get_variable_index(self.raw, &raw mut name) };
        (index >= 0).then_some(index)
    }
}
