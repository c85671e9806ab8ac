// SPDX-License-Identifier: MIT OR Apache-2.0
//! The process that starts scripts: a child of the master's, forked while that is small and root.

use std::sync::{Mutex, PoisonError};

use gangway::{
    engine::fence,
    error::CGI_SPAWNER,
    log::Level,
    run::users,
    sys::{
        explain,
        spawner::{Connection, Spawner},
    },
};
use nginx_sys::{ngx_cycle_t, ngx_int_t, ngx_test_config};

use crate::{conf::MainConf, raw};

/// Made by the master; workers inherit its descriptor.
static SPAWNER: Mutex<Option<Spawner>> = Mutex::new(None);

/// Forks the spawner, in the process that will fork the workers.
pub(crate) fn start_spawner(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    fence("start_spawner", nginx_sys::NGX_ERROR as ngx_int_t, || {
        // SAFETY: nginx calls a module's init_module in the master with a cycle whose configuration is complete.
        let (main, testing) = unsafe { (MainConf::of_cycle(&*cycle), ngx_test_config != 0) };
        let mut place = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
        if testing {
            return 0;
        }
        // That of an earlier configuration ends with the last worker that uses it.
        *place = None;
        let Some(main) = main.filter(|main| !main.programs.is_empty()) else { return 0 };
        match Spawner::start(&users(&main.programs), || raw::set_title(c"gangway spawner")) {
            Ok(spawner) => {
                *place = Some(spawner);
                0
            }
            Err(error) => {
                let line = format!(
                    "{CGI_SPAWNER} cannot start the process that starts scripts: {}",
                    explain(&error)
                );
                raw::process_log(Level::Error, &line);
                nginx_sys::NGX_ERROR as ngx_int_t
            }
        }
    })
}

/// A way to a helper of this worker's own.
pub(super) fn connect() -> std::io::Result<Connection> {
    let mut place = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    place.as_mut().ok_or(std::io::ErrorKind::NotConnected)?.connect()
}
