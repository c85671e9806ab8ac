// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens libpython and the runtime, which is linked against no libpython and takes its symbols from the one
//! that is already open.

use std::{
    ffi::{CStr, CString, OsStr, c_void},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    ptr,
};

use gangway_abi::ffi::{GW_ENGINE_ENTRY, gw_engine, gw_engine_entry_fn, gw_host};

use crate::{
    access,
    libpython::{OLDEST, Version, canonical},
    spec::Refusal,
};

const RUNTIME: &str = "gangway_python_abi3.so";

/// Opens both and returns the runtime's table.
///
/// # Safety
/// `table` is the host's table of the handshake. Called on the host's engine thread.
pub(crate) unsafe fn open_runtime(
    libpython: &Path,
    table: *const gw_host,
) -> Result<&'static gw_engine, Refusal> {
    refuse_foreign_python(libpython)?;
    // RTLD_GLOBAL: the runtime and every extension module of the application find the interpreter's symbols there.
    open(libpython, libc::RTLD_GLOBAL).map_err(|error| {
        let cure = shortage(&error).unwrap_or_else(|| library_cure(&error).to_owned());
        format!("cannot open {}: {error}; {cure}", libpython.display())
    })?;
    let path = own_folder()?.join(RUNTIME);
    let runtime = open(&path, libc::RTLD_LOCAL).map_err(|error| {
        let cure = shortage(&error).unwrap_or_else(|| runtime_cure(&error, &path, libpython));
        format!("cannot open {}: {error}; {cure}", path.display())
    })?;
    // SAFETY: the handle is open, and the name is a C string.
    let entry = unsafe { libc::dlsym(runtime, GW_ENGINE_ENTRY.as_ptr()) };
    if entry.is_null() {
        return Err(format!("{} is no engine; install it again", path.display()));
    }
    // SAFETY: the symbol of that name has this type in every engine; the runtime is our own.
    let entry = unsafe { std::mem::transmute::<*mut c_void, gw_engine_entry_fn>(entry) };
    let Some(entry) = entry else { return Err(format!("{} is no engine; install it again", path.display())) };
    // SAFETY: the caller guarantees the host's table; the runtime returns null or a table that stays valid.
    let table = unsafe { entry(table).as_ref() };
    table.ok_or_else(|| {
        format!("{} refused this server module; install both from one release", path.display())
    })
}

/// What to do where the file is not at fault.
fn shortage(error: &str) -> Option<String> {
    error.contains("Too many open files").then(limit)
}

/// What to do when no file can be opened at all.
pub(crate) fn shortage_now() -> Option<String> {
    let error = std::fs::File::open("/dev/null").err()?;
    (error.raw_os_error() == Some(libc::EMFILE)).then(limit)
}

fn limit() -> String {
    let mut limit = std::mem::MaybeUninit::<libc::rlimit>::zeroed();
    // SAFETY: the structure is writable, and whatever is in it is a value of its type.
    let limit = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr());
        limit.assume_init().rlim_cur
    };
    format!(
        "the limit of {limit} descriptors (RLIMIT_NOFILE) of this process is reached: raise it in the server's configuration or \
         where it is started (LimitNOFILE=, ulimit -n)"
    )
}

/// What to do about an error of dlopen(3) for a libpython, which says more than its number would.
fn library_cure(error: &str) -> &'static str {
    if error.contains("GLIBC") {
        "it was built for a newer C library than that of this machine: choose another Python with venv= or python="
    } else if error.contains("cannot open shared object file: No such file") {
        "a library that it needs is missing: install that one, or choose another Python with venv= or python="
    } else {
        "check that the file is complete and that the user of the server's workers may read it"
    }
}

fn runtime_cure(error: &str, path: &Path, libpython: &Path) -> String {
    if error.contains("undefined symbol") {
        // The runtime is whole; what it is to run in is no CPython of a version that it knows.
        return format!(
            "{} lacks what every CPython from {OLDEST} on has: it is no complete libpython; repair that Python, or choose \
             another one with venv= or python=",
            libpython.display()
        );
    }
    if error.contains("GLIBC") {
        return "it was built for a newer C library than that of this machine; install a build for this one"
            .to_owned();
    }
    match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            "it belongs beside gangway_python.so; install it there".to_owned()
        }
        Err(error) => access::advice(path, &error),
        Ok(_) => "the file is damaged; install it again".to_owned(),
    }
}

/// A server module that links a libpython of its own (mod_wsgi, mod_python) has its symbols in the same scope.
pub(crate) fn refuse_foreign_python(libpython: &Path) -> Result<(), Refusal> {
    let Some(address) = symbol(c"Py_IsInitialized") else { return Ok(()) };
    let Some(file) = file_of(address.cast_const()) else { return Ok(()) };
    if canonical(&file) != canonical(libpython) {
        return Err(format!(
            "another module of this server has already opened {}, but the application needs {}; remove that module \
             (mod_wsgi, mod_python) or give the application the same Python",
            file.display(),
            libpython.display()
        ));
    }
    // SAFETY: Py_IsInitialized takes nothing, returns int and may be called at any time.
    let initialized =
        unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> libc::c_int>(address)() };
    if initialized != 0 {
        return Err(format!(
            "another module of this server already runs {}; remove that module (mod_wsgi, mod_python)",
            file.display()
        ));
    }
    Ok(())
}

/// PYTHONHOME of the server's environment overrides everything, and an interpreter that does not find its
/// standard library ends the whole process.
pub(crate) fn refuse_foreign_home(version: Version) -> Result<(), Refusal> {
    let Some(home) = std::env::var_os("PYTHONHOME").filter(|home| !home.is_empty()) else { return Ok(()) };
    let home = home.to_string_lossy().into_owned();
    let prefix = home.split(':').next().unwrap_or_default();
    if ["lib", "lib64"]
        .iter()
        .any(|lib| Path::new(prefix).join(lib).join(format!("python{version}/encodings")).is_dir())
    {
        return Ok(());
    }
    Err(format!(
        "the server's environment has PYTHONHOME={home}, where no standard library of Python {version} is; remove it \
         from the server's environment"
    ))
}

fn open(path: &Path, scope: libc::c_int) -> Result<*mut c_void, String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the name is NUL-terminated. The initializers of libpython and of the runtime may run on any thread.
    // RTLD_NODELETE: threads and exit handlers of Python outlive every dlclose that a server may think of.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NODELETE | scope) };
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: dlerror returns null or a string that is valid until the next dl call of this thread.
    let error = unsafe { libc::dlerror().as_ref().map(|text| CStr::from_ptr(text)) };
    Err(error.map_or_else(|| "unknown error".to_owned(), |text| text.to_string_lossy().into_owned()))
}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name is NUL-terminated.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// The folder of this shared object.
fn own_folder() -> Result<PathBuf, Refusal> {
    let file = file_of(own_folder as *const c_void).ok_or("cannot tell the folder of gangway_python.so")?;
    let folder = canonical(&file).parent().map(Path::to_owned);
    folder.ok_or_else(|| "cannot tell the folder of gangway_python.so".to_owned())
}

fn file_of(address: *const c_void) -> Option<PathBuf> {
    let mut info = libc::Dl_info {
        dli_fname: ptr::null(),
        dli_fbase: ptr::null_mut(),
        dli_sname: ptr::null(),
        dli_saddr: ptr::null_mut(),
    };
    // SAFETY: dladdr only looks the address up and fills the struct.
    if unsafe { libc::dladdr(address, &mut info) } == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: dladdr gave a NUL-terminated name that lives as long as the object is loaded.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
}
