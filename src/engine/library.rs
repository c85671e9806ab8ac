// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opening an engine and the handshake of `gangway.h`.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, OsStr},
    mem::{MaybeUninit, offset_of},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    ptr,
    sync::Mutex,
};

use gangway_abi::ffi as abi;

use super::{
    host::HOST,
    statement::{self, Interface},
};
use crate::{
    error::{
        Code, ENGINE_ENTRY, ENGINE_MISSING, ENGINE_NULL, ENGINE_SHORT, ENGINE_STATEMENT, ENGINE_VERSION,
        SERVER_FAILED,
    },
    sys::{self, lock},
};

/// Bytes of the `gw_engine` of ABI 1.0: its last member and all before.
const SIZE_1_0: usize = offset_of!(abi::gw_engine, unload) + size_of::<usize>();

/// The interface of handlers of phases, in the words of gangway.h.
const HANDLERS: &str = "handlers";

/// Why an engine was refused.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// dlopen(3) failed.
    #[error("cannot open the engine {path}: {reason}; install or build it again for this machine")]
    Open {
        /// The file.
        path: String,
        /// What dlerror(3) says.
        reason: String,
    },
    /// A limit of the process or of the machine is in the way; the file may be whole.
    #[error("cannot open {path}: {reason}")]
    Shortage {
        /// The file.
        path: String,
        /// Which one, with the cure.
        reason: String,
    },
    /// No entry point.
    #[error("{0} is not an engine: it does not export gw_engine_entry")]
    Entry(String),
    /// The entry point returned NULL.
    #[error("the engine {0} refused to work with this server module (its own log line says why)")]
    Refused(String),
    /// Another major version.
    #[error(
        "the engine {path} speaks ABI {found}, this server module speaks {wanted}; install both from one release"
    )]
    Version {
        /// The file.
        path: String,
        /// The engine's version.
        found: String,
        /// Ours.
        wanted: String,
    },
    /// A table that ends early.
    #[error(
        "the engine {path} has a table of {found} bytes where ABI 1.0 has {wanted}; build it with gangway.h"
    )]
    Short {
        /// The file.
        path: String,
        /// Its size.
        found: usize,
        /// The least size.
        wanted: usize,
    },
    /// A required member is NULL.
    #[error("the engine {path} has no {member}, which gangway.h requires")]
    Null {
        /// The file.
        path: String,
        /// The member.
        member: &'static str,
    },
    /// No engine, or more than one, has an interface.
    #[error("{text}")]
    Interface {
        /// Of the cause.
        code: Code,
        /// What is wrong.
        text: String,
    },
    /// What it says of its interfaces is not whole.
    #[error("the engine {path} states what gangway.h does not allow: {reason}")]
    Statement {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl EngineError {
    /// The log code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Open { .. } => ENGINE_MISSING,
            Self::Shortage { .. } => SERVER_FAILED,
            Self::Entry(_) | Self::Refused(_) => ENGINE_ENTRY,
            Self::Version { .. } => ENGINE_VERSION,
            Self::Short { .. } => ENGINE_SHORT,
            Self::Null { .. } => ENGINE_NULL,
            Self::Interface { code, .. } => *code,
            Self::Statement { .. } => ENGINE_STATEMENT,
        }
    }
}

/// An engine that passed the handshake. Engines are never closed: their code may be on any thread's stack.
#[derive(Clone, Copy)]
pub struct Engine {
    table: &'static abi::gw_engine,
    /// As the engine itself, until the process ends.
    interfaces: &'static [Interface],
    handle: HandleFn,
    load: LoadFn,
    unload: UnloadFn,
}

// SAFETY: gangway.h: the table stays valid and unchanged until the process ends; its functions name their threads.
unsafe impl Send for Engine {}

pub(super) type HandleFn = unsafe extern "C" fn(
    *mut abi::gw_app,
    *mut abi::gw_request,
    *const abi::gw_request_head,
) -> abi::gw_status;
pub(super) type LoadFn = unsafe extern "C" fn(
    *const abi::gw_app_spec,
    *mut *mut abi::gw_app,
    *mut std::ffi::c_char,
    usize,
) -> abi::gw_status;
pub(super) type UnloadFn = unsafe extern "C" fn(*mut abi::gw_app);

impl Engine {
    /// Opens the file and shakes hands.
    ///
    /// # Errors
    /// One for each rule of the handshake.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        // Held for the call of the entry point, too: nobody else may make it meanwhile.
        let mut known = lock(&KNOWN);
        let (handle, entry) = open_entry(path)?;
        if let Some(engine) = known.get(&handle.addr()) {
            return Ok(*engine);
        }
        // SAFETY: gangway.h: the symbol has this type; HOST lives for the process.
        let table = unsafe { entry(HOST.get()) };
        // SAFETY: gangway.h: NULL, or a table that stays valid and unchanged until the process ends.
        let engine = unsafe { Self::accept(path, table) }?;
        known.insert(handle.addr(), engine);
        Ok(engine)
    }

    /// An engine that is linked into this program: for tests, and for programs that bring their own.
    ///
    /// # Errors
    /// As [`Engine::open`].
    ///
    /// # Safety
    /// `entry` is the entry point of an engine that keeps to gangway.h.
    pub unsafe fn linked(name: &str, entry: EntryFn) -> Result<Self, EngineError> {
        // SAFETY: the caller guarantees an engine's entry point; HOST lives for the process.
        let table = unsafe { entry(HOST.get()) };
        // SAFETY: as the caller guarantees, what gangway.h says of the table.
        unsafe { Self::accept(Path::new(name), table) }
    }

    /// Checks the table of an engine.
    ///
    /// # Safety
    /// `table` is NULL or the table of an engine, valid and unchanged until the process ends.
    unsafe fn accept(path: &Path, table: *const abi::gw_engine) -> Result<Self, EngineError> {
        let shown = || path.display().to_string();
        // SAFETY: the caller guarantees NULL or a table, which begins with its size.
        let size = match unsafe { table.cast::<usize>().as_ref() } {
            None => return Err(EngineError::Refused(shown())),
            Some(size) => *size,
        };
        if size >= offset_of!(abi::gw_engine, name) {
            // The version comes first: a table of another one may well be shorter.
            // SAFETY: the table has at least the members before `name`.
            let (major, minor) = unsafe { ((*table).abi_major, (*table).abi_minor) };
            if major != abi::GW_ABI_MAJOR {
                return Err(EngineError::Version {
                    path: shown(),
                    found: format!("{major}.{minor}"),
                    wanted: format!("{}.{}", abi::GW_ABI_MAJOR, abi::GW_ABI_MINOR),
                });
            }
        }
        if size < SIZE_1_0 {
            return Err(EngineError::Short { path: shown(), found: size, wanted: SIZE_1_0 });
        }
        // SAFETY: zeros are a value of the struct: NULL and 0. As many bytes are readable as the table says.
        let whole = unsafe {
            let mut whole = MaybeUninit::<abi::gw_engine>::zeroed();
            let known = size.min(size_of::<abi::gw_engine>());
            ptr::copy_nonoverlapping(table.cast::<u8>(), whole.as_mut_ptr().cast::<u8>(), known);
            whole.assume_init()
        };
        Self::complete(path, whole)
    }

    /// Checks the members of a table, in which those that its engine did not know are NULL.
    fn complete(path: &Path, table: abi::gw_engine) -> Result<Self, EngineError> {
        let null = |member| EngineError::Null { path: path.display().to_string(), member };
        if table.name.is_null() {
            return Err(null("name"));
        }
        match (table.enter.is_some(), table.leave.is_some()) {
            (true, false) => return Err(null("leave (it has enter)")),
            (false, true) => return Err(null("enter (it has leave)")),
            _ => {}
        }
        let of_forks = [
            ("fork_prepare (it has another of the fork functions)", table.fork_prepare.is_some()),
            ("fork_parent (it has another of the fork functions)", table.fork_parent.is_some()),
            ("fork_child (it has another of the fork functions)", table.fork_child.is_some()),
        ];
        let missing = of_forks.iter().find(|(_, is_there)| !is_there);
        if let Some((member, _)) = missing.filter(|_| of_forks.iter().any(|(_, is_there)| *is_there)) {
            return Err(null(member));
        }
        match (table.run_phase.is_some(), table.forget.is_some()) {
            (true, false) => return Err(null("forget (it has run_phase)")),
            (false, true) => return Err(null("run_phase (it has forget)")),
            _ => {}
        }
        let (handle, load, unload) = (
            table.handle.ok_or_else(|| null("handle"))?,
            table.load.ok_or_else(|| null("load"))?,
            table.unload.ok_or_else(|| null("unload"))?,
        );
        let interfaces = statement::interfaces(&table)
            .map_err(|reason| EngineError::Statement { path: path.display().to_string(), reason })?;
        if table.run_phase.is_none() && interfaces.iter().any(|interface| interface.name == HANDLERS) {
            return Err(null("run_phase (it states the interface \"handlers\")"));
        }
        // Once per engine and process, as everything that the table points to.
        Ok(Self { table: Box::leak(Box::new(table)), interfaces: interfaces.leak(), handle, load, unload })
    }

    /// What the engine states that it runs.
    #[must_use]
    pub fn interfaces(&self) -> &'static [Interface] {
        self.interfaces
    }

    /// The engine's own name.
    #[must_use]
    pub fn name(&self) -> String {
        // SAFETY: checked for NULL in the handshake; gangway.h: a C string that stays valid.
        unsafe { CStr::from_ptr(self.table.name) }.to_string_lossy().into_owned()
    }

    /// Whether handle() returns at once for applications of this interface.
    #[must_use]
    pub fn is_async(&self, interface: &str) -> bool {
        let stated = self.interfaces.iter().find(|stated| stated.name == interface);
        self.table.flags & u64::from(abi::GW_ENGINE_ASYNC) != 0
            || stated.is_some_and(|stated| stated.is_async)
    }

    /// Whether applications of this interface do not look at a request's head any more once they have accepted a WebSocket.
    pub(super) fn forgets_head(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|stated| stated.name == interface && stated.forgets_head)
    }

    /// Whether a process that has loaded an application can be forked.
    #[must_use]
    pub fn can_fork(&self) -> bool {
        self.table.fork_child.is_some()
    }

    pub(super) fn table(&self) -> &'static abi::gw_engine {
        self.table
    }

    pub(super) fn handle_fn(&self) -> HandleFn {
        self.handle
    }

    pub(super) fn load_fn(&self) -> LoadFn {
        self.load
    }

    pub(super) fn unload_fn(&self) -> UnloadFn {
        self.unload
    }
}

/// The type of the entry point.
pub type EntryFn = unsafe extern "C" fn(*const abi::gw_host) -> *const abi::gw_engine;

/// The engines of this process by the handle of their shared object: the configuration is read and used in one process, and
/// gangway.h promises one call of the entry point.
static KNOWN: Mutex<BTreeMap<usize, Engine>> = Mutex::new(BTreeMap::new());

fn open_entry(path: &Path) -> Result<(*mut libc::c_void, EntryFn), EngineError> {
    let shown = path.display().to_string();
    let open_error = |reason| EngineError::Open { path: shown.clone(), reason };
    let name =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| open_error("the path holds NUL".into()))?;
    // SAFETY: `name` is a C string. The initialisers of the library are the administrator's choice. dlerror(3)
    // is per thread.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if handle.is_null() {
        let error = last_dlerror();
        return Err(match sys::explain_text(&error) {
            Some(reason) => EngineError::Shortage { path: shown, reason },
            None => open_error(error),
        });
    }
    // SAFETY: `handle` is open and stays open; the name is a C string.
    let symbol = unsafe { libc::dlsym(handle, abi::GW_ENGINE_ENTRY.as_ptr()) };
    if symbol.is_null() {
        return Err(EngineError::Entry(shown));
    }
    // SAFETY: gangway.h gives the symbol of this name this type.
    Ok((handle, unsafe { std::mem::transmute::<*mut libc::c_void, EntryFn>(symbol) }))
}

fn last_dlerror() -> String {
    // SAFETY: dlerror(3) returns NULL or a C string that lives until the next dl call of this thread.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "unknown error".into();
    }
    // SAFETY: dlerror(3) has given a C string, and this thread makes no other dl call before it is copied.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// The directory of the shared object that holds this code: engines are installed beside the server module.
#[must_use]
pub(crate) fn own_directory() -> Option<PathBuf> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the address is of a function of ours; `info` is writable.
    let found = unsafe {
        libc::dladdr(own_directory as fn() -> Option<PathBuf> as *const libc::c_void, info.as_mut_ptr())
    };
    if found == 0 {
        return None;
    }
    // SAFETY: dladdr(3) filled it.
    let info = unsafe { info.assume_init() };
    if info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: dladdr(3): the path of the shared object, valid while it is loaded.
    let path = unsafe { CStr::from_ptr(info.dli_fname) };
    Path::new(OsStr::from_bytes(path.to_bytes())).parent().map(Path::to_path_buf)
}
