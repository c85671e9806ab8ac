// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of a process: what the master does before it forks, what a worker begins and ends with. Which work that is,
//! the kinds of handlers say ([`KINDS`]).

use gangway::{engine::fence, log::Line};
use nginx_sys::{NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER, ngx_cycle_t, ngx_int_t, ngx_process};

use crate::{
    conf::HandlerKind,
    directives::KINDS,
    phases,
    raw::{self, Cycle, ERROR},
    serve::counting,
    status,
};

/// What workers share, made by the process that forks them.
pub(crate) unsafe extern "C" fn init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    fence("init_module", ERROR, || {
        // SAFETY: nginx calls this with a live cycle, whose configuration is complete.
        let cycle = unsafe { Cycle::from_raw(cycle) };
        raw::install_log();
        counting::make_room(&cycle);
        let status = all(|kind| (kind.prepare)(&cycle));
        if status == 0 && !raw::is_test() {
            status::announce(&cycle);
        }
        status
    })
}

pub(crate) unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    fence("init_process", ERROR, || {
        // SAFETY: a plain number that nginx sets before it calls this.
        let process = unsafe { ngx_process } as u32;
        // Cache managers run this too.
        if ![NGX_PROCESS_WORKER, NGX_PROCESS_SINGLE].contains(&process) {
            return 0;
        }
        // SAFETY: nginx calls this in a live process of this cycle, after the modules' configurations were made.
        let cycle = unsafe { Cycle::from_raw(cycle) };
        raw::install_log();
        counting::start();
        all(|kind| (kind.start)(&cycle))
    })
}

pub(crate) unsafe extern "C" fn exit_process(_: *mut ngx_cycle_t) {
    fence("exit_process", (), || {
        // Timers of nginx's go before its memory does.
        phases::end();
        KINDS.iter().for_each(|kind| (kind.stop)());
    });
}

/// Has each kind of handler do its part, until one fails.
fn all(part: impl Fn(&HandlerKind) -> Result<(), Line>) -> ngx_int_t {
    match KINDS.iter().try_for_each(|kind| part(kind)) {
        Ok(()) => 0,
        Err(line) => {
            line.tell_process();
            ERROR
        }
    }
}
