// SPDX-License-Identifier: MIT OR Apache-2.0
//! The front of the Python engine, `gangway_python.so`.
//!
//! It holds no Python symbol, so a server can open it while it only tests its configuration. It checks
//! specifications by looking at files, finds the libpython of an application, opens it at load time and after it
//! the runtime `gangway_python_abi3.so` from its own folder, to which it passes every further call.

mod access;
mod env_file;
mod forward;
#[cfg(test)]
mod layouts;
mod libpython;
mod loader;
mod python;
mod sharing;
mod spec;
mod venv;

use std::{
    ffi::c_char,
    os::unix::ffi::OsStrExt,
    ptr, slice,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicPtr, Ordering},
    },
};

use gangway_abi::{
    bytes::{lend, put_line},
    constant::Constant,
    ffi::{
        GW_ABI_MAJOR, GW_ABI_MINOR, GW_ERROR, GW_OK, gw_app, gw_app_spec, gw_engine, gw_field, gw_host,
        gw_status,
    },
    host,
};
use gangway_python_shared::{fence::fence, statement::INTERFACES};

use crate::{
    forward::{RUNTIME, Runtime},
    libpython::Install,
    sharing::{Environments, Plan},
    spec::{Refusal, Spec},
};

/// The host's table, for the runtime's own handshake.
static TABLE: AtomicPtr<gw_host> = AtomicPtr::new(ptr::null_mut());

/// What this process has loaded; a further application must be able to share with all of it.
static LOADED: Mutex<Vec<(usize, Plan)>> = Mutex::new(Vec::new());

// SAFETY: what the table points to is constant.
static ENGINE: Constant<gw_engine> = unsafe {
    Constant::new(gw_engine {
        struct_size: size_of::<gw_engine>(),
        abi_major: GW_ABI_MAJOR,
        abi_minor: GW_ABI_MINOR,
        name: c"python".as_ptr(),
        flags: 0,
        interfaces: INTERFACES.get().as_ptr(),
        interface_count: INTERFACES.get().len(),
        check: Some(check),
        load: Some(load),
        enter: Some(forward::enter),
        leave: Some(forward::leave),
        thread_end: Some(forward::thread_end),
        handle: Some(forward::handle),
        interrupt: Some(forward::interrupt),
        unload: Some(unload),
        fork_prepare: Some(forward::fork_prepare),
        fork_parent: Some(forward::fork_parent),
        fork_child: Some(forward::fork_child),
        run_phase: Some(forward::run_phase),
        forget: Some(forward::forget),
        ready: Some(forward::ready),
    })
};

/// The handshake of include/gangway.h.
///
/// # Safety
/// `table` is null or the host's table, valid until the process ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gw_engine_entry(table: *const gw_host) -> *const gw_engine {
    fence("gw_engine_entry", ptr::null(), || {
        // SAFETY: the host passes null or its table, which is valid until the process ends.
        if unsafe { host::accept(table) }.is_err() {
            // There is no host to log to; the null table is what it sees.
            return ptr::null();
        }
        TABLE.store(table.cast_mut(), Ordering::Release);
        ENGINE.get()
    })
}

unsafe extern "C" fn check(
    specs: *const *const gw_app_spec,
    count: usize,
    error: *mut c_char,
    capacity: usize,
) -> gw_status {
    answer("check", error, capacity, || {
        if count == 0 || specs.is_null() {
            return Ok(());
        }
        // SAFETY: the host gives `count` pointers to specifications.
        let specs = unsafe { slice::from_raw_parts(specs, count) };
        let mut plans: Vec<Plan> = Vec::with_capacity(count);
        let mut known = Environments::default();
        for raw in specs {
            // SAFETY: each pointer is to a specification that lives for the call.
            let raw = unsafe { raw.as_ref() }.ok_or("a specification is missing")?;
            // SAFETY: gangway.h promises that what a specification points to lives for the call.
            let plan = Plan::make(unsafe { Spec::read(raw) }?, &mut known)?;
            check_file(&plan.spec)?;
            plans.iter().try_for_each(|other| plan.check_sharing(other))?;
            plans.push(plan);
        }
        plans.first().map_or(Ok(()), |plan| {
            if RUNTIME.get().is_some() {
                Ok(())
            } else {
                loader::refuse_foreign_python(&plan.environment.install.libpython)
            }
        })
    })
}

unsafe extern "C" fn load(
    spec: *const gw_app_spec,
    app: *mut *mut gw_app,
    error: *mut c_char,
    capacity: usize,
) -> gw_status {
    let mut status = GW_ERROR;
    let answer = answer("load", error, capacity, || {
        // SAFETY: the host gives a specification that lives for the call.
        let raw = unsafe { spec.as_ref() }.ok_or("the specification is missing")?;
        // SAFETY: gangway.h promises that what a specification points to lives for the call.
        let plan = Plan::make(unsafe { Spec::read(raw) }?, &mut Environments::default())?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.iter().try_for_each(|(_, other)| plan.check_sharing(other))?;
        let runtime = runtime(&plan.environment.install)?;
        // SAFETY: the buffers are the host's own; the specification is complete and lives for the call.
        status = unsafe { forward_load(runtime, raw, &plan, app, error, capacity) };
        if status == GW_OK {
            // SAFETY: the runtime has written the application on GW_OK.
            loaded.push((unsafe { *app }.addr(), plan));
        }
        Ok(())
    });
    // The runtime has written its own line into `error`.
    if answer == GW_OK { status } else { answer }
}

unsafe extern "C" fn unload(app: *mut gw_app) {
    fence("unload", (), || {
        LOADED.lock().unwrap_or_else(PoisonError::into_inner).retain(|(address, _)| *address != app.addr());
    });
    // SAFETY: the host keeps the contract of unload(); `app` came from the runtime's own load().
    unsafe { forward::unload(app) };
}

/// Runs the body of a function that answers with a status and a line.
fn answer(
    entry: &'static str,
    error: *mut c_char,
    capacity: usize,
    body: impl FnOnce() -> Result<(), Refusal>,
) -> gw_status {
    let outcome = fence(entry, Err("defect in the Python engine; see the error log".to_owned()), body);
    match outcome {
        Ok(()) => GW_OK,
        Err(refusal) => {
            // Files that could not be opened look like files that are not there.
            let refusal = match loader::shortage_now() {
                Some(cure) => format!("no file can be opened: {cure}; what has failed: {refusal}"),
                None => refusal,
            };
            // SAFETY: the host gives a buffer of that capacity.
            unsafe { put_line(&refusal, error, capacity) };
            GW_ERROR
        }
    }
}

/// A file that is missing when the configuration is tested is a mistake in it; later it may be a deployment.
fn check_file(spec: &Spec) -> Result<(), Refusal> {
    if let spec::Target::File(path) = &spec.target {
        std::fs::File::open(path).map_err(|error| {
            format!("cannot read {}: {error}; {}", path.display(), access::advice(path, &error))
        })?;
    }
    if let Some(folder) = spec.search_root().and_then(access::closed) {
        let root = spec.search_root().unwrap_or(&folder).display();
        return Err(format!("root={root} cannot be reached: {}", access::cure(&folder)));
    }
    Ok(())
}

fn runtime(install: &Install) -> Result<&'static Runtime, Refusal> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    loader::refuse_foreign_home(install.version)?;
    // SAFETY: the table is that of the handshake; load() runs on the host's engine thread.
    let table = unsafe { loader::open_runtime(&install.libpython, TABLE.load(Ordering::Acquire)) }?;
    let runtime = Runtime::new(table).ok_or("gangway_python_abi3.so is incomplete; install it again")?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Passes the specification on with what was found out: `program` instead of `python`, `env` instead of
/// `env_file`.
///
/// # Safety
/// As for load() in include/gangway.h.
unsafe fn forward_load(
    runtime: &Runtime,
    raw: &gw_app_spec,
    plan: &Plan,
    app: *mut *mut gw_app,
    error: *mut c_char,
    capacity: usize,
) -> gw_status {
    let mut options: Vec<(&[u8], Vec<u8>)> = Vec::new();
    options.push((b"program", plan.environment.program.as_os_str().as_bytes().to_vec()));
    let paths = [(&b"root"[..], plan.spec.search_root()), (b"venv", plan.spec.venv.as_deref())];
    for (key, path) in paths {
        options.extend(path.map(|path| (key, path.as_os_str().as_bytes().to_vec())));
    }
    for (name, value) in &plan.variables {
        options.push((b"env", [name.as_slice(), b"=", value].concat()));
    }
    if plan.spec.debug {
        options.push((b"debug", b"on".to_vec()));
    }
    for (key, word) in [(&b"loop"[..], plan.spec.event_loop), (b"lifespan", plan.spec.lifespan)] {
        options.extend(word.map(|word| (key, word.as_bytes().to_vec())));
    }
    options.extend(plan.spec.words.iter().cloned());
    let fields: Vec<gw_field> =
        options.iter().map(|(key, value)| gw_field { name: lend(key), value: lend(value) }).collect();
    let spec = gw_app_spec {
        // A newer host's struct is longer than the copy.
        struct_size: size_of::<gw_app_spec>(),
        options: fields.as_ptr(),
        option_count: fields.len(),
        ..*raw
    };
    // SAFETY: the caller keeps the contract of load(); everything lent outlives the call.
    unsafe { (runtime.load)(&raw const spec, app, error, capacity) }
}
