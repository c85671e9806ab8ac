// SPDX-License-Identifier: MIT OR Apache-2.0
//! The servers of the configuration: the main one, and the virtual hosts behind it.

use std::{
    ffi::{CString, c_char, c_int},
    iter,
    marker::PhantomData,
    ptr::NonNull,
};

use gangway::{
    log::Level,
    phases::{Fact, LookUp, Number, Table},
};

use crate::{
    lists::{show_names, show_tree},
    module::{Module, module_index, place_of},
    sys::{self, server_rec},
    text,
};

/// A server, as httpd has read it. Nobody writes to it while requests are served.
#[derive(Clone, Copy, Debug)]
pub struct Server<'s> {
    raw: NonNull<server_rec>,
    life: PhantomData<&'s ()>,
}

// SAFETY: all that is asked of a server was written before the threads of a child began, and stays as it is; what httpd counts of its starts are numbers
// of the MPM's and of shared memory.
unsafe impl Send for Server<'_> {}
// SAFETY: nobody writes to a server while a child runs, so that any number of threads may read it.
unsafe impl Sync for Server<'_> {}

impl<'s> Server<'s> {
    /// Wraps a server; NULL is none.
    ///
    /// # Safety
    /// `raw` is NULL or a server of a configuration that has been read and lives for `'s`.
    #[must_use]
    pub unsafe fn from_raw(raw: *mut server_rec) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self { raw, life: PhantomData })
    }

    /// Its place among all of them.
    #[must_use]
    pub fn place(self) -> Option<usize> {
        Self::all().position(|server| server.raw == self.raw)
    }

    fn all() -> impl Iterator<Item = Self> {
        // SAFETY: httpd's own list, which lives as long as the configuration that this server is of.
        let first = unsafe { Self::from_raw(sys::ap_server_conf) };
        // SAFETY: the list ends with NULL.
        iter::successors(first, |server| unsafe { Self::from_raw(server.get().next) })
    }

    fn get(self) -> &'s server_rec {
        // SAFETY: by the promise of `from_raw` it lives, and nobody writes to it.
        unsafe { self.raw.as_ref() }
    }

    /// A text. `None`: there is none, or it is not one of a server's.
    #[must_use]
    pub fn fact(self, fact: Fact) -> Option<&'s [u8]> {
        let server = self.get();
        let found: *const c_char = match fact {
            Fact::ServerHostname => server.server_hostname,
            Fact::ServerAdmin => server.server_admin,
            Fact::ErrorFname => server.error_fname,
            Fact::ServerPath => server.path,
            Fact::DefnName => server.defn_name,
            // SAFETY: httpd sets it before it reads the configuration.
            Fact::ServerRoot => unsafe { sys::ap_server_root },
            _ => return None,
        };
        // SAFETY: httpd keeps NULL or a C string in these places, as long as the configuration.
        (!found.is_null()).then(|| unsafe { text(found) })
    }

    /// A number; `None` for one that is not a server's.
    #[must_use]
    pub fn figure(self, number: Number) -> Option<i64> {
        let server = self.get();
        Some(match number {
            Number::ServerPort => server.port.into(),
            Number::Timeout => server.timeout,
            Number::KeepAliveTimeout => server.keep_alive_timeout,
            Number::KeepAliveMax => server.keep_alive_max.into(),
            Number::KeepAlive => server.keep_alive.into(),
            Number::Loglevel => server.log.level.into(),
            Number::IsVirtual => server.is_virtual.into(),
            Number::DefnLineNumber => server.defn_line_number.into(),
            Number::LimitReqLine => server.limit_req_line.into(),
            Number::LimitReqFieldsize => server.limit_req_fieldsize.into(),
            Number::LimitReqFields => server.limit_req_fields.into(),
            Number::Generation => generation(),
            Number::RestartTime => restart_time(),
            _ => return None,
        })
    }

    /// Shows the entries of a list of a server's. Answers whether it is one.
    pub fn show_list(self, list: Table, show: &mut dyn FnMut(&[u8], &[u8])) -> bool {
        let server = self.get();
        // SAFETY: httpd keeps these lists and the tree of directives as long as the configuration.
        unsafe {
            match list {
                Table::ServerNames => show_names(server.names, show),
                Table::ServerWildNames => show_names(server.wild_names, show),
                Table::ServerAddrs => {
                    let mut next = server.addrs;
                    while let Some(address) = next.as_ref() {
                        show(text(address.virthost), address.host_port.to_string().as_bytes());
                        next = address.next;
                    }
                }
                Table::ConfigTree => show_tree(sys::ap_conftree, 0, show),
                _ => return false,
            }
        }
        true
    }

    /// Shows what httpd finds by a name, if it finds something. Answers whether a server is asked for such things.
    pub fn look_up(self, what: LookUp, name: &[u8], show: &mut dyn FnMut(&[u8])) -> bool {
        match what {
            LookUp::Ssl => return false,
            LookUp::Define => {
                let name = CString::new(name);
                // SAFETY: the name is a C string for the call.
                if name.is_ok_and(|name| unsafe { sys::ap_exists_config_define(name.as_ptr()) } != 0) {
                    show(b"1");
                }
            }
            LookUp::Mpm => {
                let query = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
                if let Some(answer) = query.and_then(mpm_answer) {
                    show(answer.to_string().as_bytes());
                }
            }
        }
        true
    }

    /// What stands for a module outside of its sections.
    #[must_use]
    pub fn conf<M: Module>(self) -> Option<&'s M::Conf<'s>> {
        // SAFETY: httpd keeps under the number of a module what `module::create` or `module::merge` made for it, in pools that live
        // as long as the configuration, and nobody writes to it while requests are served.
        unsafe {
            let vector = NonNull::new(self.get().lookup_defaults)?;
            place_of(vector.as_ptr(), module_index::<M>()).read().cast::<M::Conf<'s>>().as_ref()
        }
    }

    /// Writes a line to its error log. THREAD: any.
    pub fn log<M: Module>(self, level: Level, line: &str) {
        M::LOG.server(self.raw.as_ptr(), level, line);
    }
}

/// All servers, the main one first.
///
/// # Safety
/// The calling process is a child, which reads no other configuration until it ends.
pub unsafe fn all_servers() -> impl Iterator<Item = Server<'static>> {
    Server::all()
}

/// What the MPM answers to a question.
fn mpm_answer(query: c_int) -> Option<c_int> {
    let mut answer: c_int = 0;
    // SAFETY: the place for the answer is this function's own.
    (unsafe { sys::ap_mpm_query(query, &raw mut answer) } == 0).then_some(answer)
}

/// How often the configuration has been read anew before this process began.
fn generation() -> i64 {
    mpm_answer(sys::AP_MPMQ_GENERATION as c_int).map_or(0, Into::into)
}

/// When httpd was started, or restarted other than gracefully; 0 without a scoreboard.
fn restart_time() -> i64 {
    // SAFETY: httpd makes the scoreboard before its children, in memory that stays as long as they do.
    unsafe {
        let global = sys::ap_scoreboard_image.as_ref().and_then(|board| board.global.as_ref());
        global.map_or(0, |global| (&raw const global.restart_time).read_volatile())
    }
}
