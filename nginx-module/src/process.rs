// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of a process: what the master does before it forks, what a worker begins and ends with.

use std::{ffi::CStr, ptr};

use gangway::{
    engine::fence,
    error::SERVER_FAILED,
    log::Level,
    runtime,
    sys::{
        explain,
        spawner::{account, is_root},
    },
};
use nginx_sys::{
    NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER, ngx_core_conf_t, ngx_core_module, ngx_cycle_t, ngx_int_t,
    ngx_process,
};

use crate::{cgi, conf::MainConf, raw, upstream, wsgi};

const ERROR: ngx_int_t = nginx_sys::NGX_ERROR as ngx_int_t;

/// What workers share, made by the process that forks them.
pub(crate) unsafe extern "C" fn init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    fence("init_module", ERROR, || {
        // SAFETY: nginx calls this with a live cycle, whose configuration is complete.
        unsafe {
            warn_of_closed_folders(&*cycle);
            match upstream::make_signals(cycle) {
                0 => cgi::start_spawner(cycle),
                status => status,
            }
        }
    })
}

pub(crate) unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    fence("init_process", ERROR, || {
        // SAFETY: nginx calls this in a live process of this cycle, after the modules' configurations were made.
        let (serves, main, multiprocess) = unsafe {
            let serves = [NGX_PROCESS_WORKER, NGX_PROCESS_SINGLE].contains(&(ngx_process as u32));
            // Even a single worker has another process beside it while a reload lets it finish.
            (serves, MainConf::of_cycle(&*cycle), core_conf(&*cycle).master != 0)
        };
        // Cache managers run this too; without an application there is nothing to run.
        let Some(main) = main.filter(|main| serves && !main.applications.is_empty()) else { return 0 };
        if let Err(error) = wsgi::start(main, multiprocess) {
            let line = format!("{SERVER_FAILED} applications cannot be started: {}", explain(&error));
            raw::process_log(Level::Error, &line);
            return ERROR;
        }
        0
    })
}

pub(crate) unsafe extern "C" fn exit_process(_: *mut ngx_cycle_t) {
    fence("exit_process", (), || {
        cgi::stop();
        upstream::stop_listening();
        wsgi::stop();
    });
}

/// nginx's own configuration.
///
/// # Safety
/// The configuration of `cycle` is complete.
unsafe fn core_conf(cycle: &ngx_cycle_t) -> &ngx_core_conf_t {
    // SAFETY: the core module's configuration exists in every cycle whose configuration is complete.
    unsafe { &*(*cycle.conf_ctx.add((*ptr::addr_of!(ngx_core_module)).index)).cast::<ngx_core_conf_t>() }
}

/// Root may read everything, so a configuration test of root's says nothing of what its workers may read.
///
/// # Safety
/// The configuration of `cycle` is complete.
unsafe fn warn_of_closed_folders(cycle: &ngx_cycle_t) {
    // SAFETY: the caller's cycle is complete; a name in it is a C string.
    let (main, worker) = unsafe {
        let conf = core_conf(cycle);
        let Some(main) = MainConf::of_cycle(cycle) else { return };
        if !is_root() || conf.user == 0 || conf.username.is_null() {
            return;
        }
        (main, account(CStr::from_ptr(conf.username), conf.user, conf.group))
    };
    for line in runtime::check_as(&main.applications, &worker) {
        raw::process_log(Level::Warn, &line);
    }
}
