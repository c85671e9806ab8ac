// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers of phases: the call of an engine that runs them, and what it keeps for a request meanwhile.

use std::{cell::Cell, ffi::c_void, ptr};

use gangway_abi::{
    bytes::{lend, lend_field},
    ffi::{self as abi, GW_OK},
};

use super::{
    app::App,
    fence::fence,
    visit::{Visit, Visited},
};
use crate::{
    error::ENGINE_MISUSE,
    log::Level,
    phases::{Handler, PhaseAnswer, PlaceWords, RequestPhase, Transaction},
};

thread_local! {
    /// Memory for what a call says, which leaves it to the next one. A call inside of another one takes its own.
    static SAID: Cell<Vec<abi::gw_field>> = const { Cell::new(Vec::new()) };
}

/// What a phase is told of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct PhaseCall<'c> {
    /// Which one.
    pub phase: RequestPhase,
    /// Whose modules the handlers use.
    pub interpreter: &'c [u8],
    /// The handlers, in order.
    pub handlers: &'c [Handler<'c>],
    /// The engine's words.
    pub settings: PlaceWords<'c>,
    /// The handlers' own words.
    pub options: PlaceWords<'c>,
    /// The name of a filter.
    pub filter: &'c [u8],
}

impl PhaseCall<'_> {
    /// That of the files which the handlers are for; of a filter it is a name.
    fn suffix(&self) -> &[u8] {
        let first = self.handlers.first().filter(|_| !self.phase.is_filter());
        first.and_then(|handler| handler.suffix).unwrap_or_default()
    }
}

/// What an engine keeps for a transaction, from its first phase to its end. A phase may begin inside of another one.
#[derive(Debug)]
pub struct PhaseState {
    raw: Cell<*mut c_void>,
    forget: Cell<Option<unsafe extern "C" fn(*mut c_void)>>,
}

// SAFETY: gangway.h: the phases of a transaction run on threads of the engine's pool, one at a time, and forget() on any.
unsafe impl Send for PhaseState {}

impl Default for PhaseState {
    fn default() -> Self {
        Self { raw: Cell::new(ptr::null_mut()), forget: Cell::new(None) }
    }
}

impl Drop for PhaseState {
    fn drop(&mut self) {
        if let Some(forget) = self.forget.get().filter(|_| !self.raw.get().is_null()) {
            // SAFETY: gangway.h: once, at the end of the transaction, with what the engine's own run_phase() has left; any thread.
            fence("forget", (), || unsafe { forget(self.raw.get()) });
        }
    }
}

impl App {
    /// Runs the handlers of a phase, between `enter` and `leave` or inside of another phase of this thread. `None`: they could not be
    /// run, and the engine has said why.
    pub fn run_phase(
        &self,
        transaction: &dyn Transaction,
        call: &PhaseCall<'_>,
        state: &PhaseState,
    ) -> Option<PhaseAnswer> {
        let (engine, app) = self.parts();
        let (run, forget) = (engine.table().run_phase?, engine.table().forget?);
        let mut said = SAID.take();
        said.clear();
        said.extend(call.handlers.iter().map(|handler| lend_field(handler.name, handler.directory)));
        let settings_from = said.len();
        said.extend(call.settings.iter().map(|(name, value)| lend_field(name, value)));
        let options_from = said.len();
        said.extend(call.options.iter().map(|(name, value)| lend_field(name, value)));
        let (before_options, options) = said.split_at(options_from);
        let (handlers, settings) = before_options.split_at(settings_from);
        state.forget.set(Some(forget));
        let phase = abi::gw_phase {
            struct_size: size_of::<abi::gw_phase>(),
            phase: call.phase as u32,
            reserved: 0,
            interpreter: lend(call.interpreter),
            handlers: handlers.as_ptr(),
            handler_count: handlers.len(),
            settings: settings.as_ptr(),
            setting_count: settings.len(),
            options: options.as_ptr(),
            option_count: options.len(),
            state: state.raw.as_ptr(),
            filter: lend(call.filter),
            suffix: lend(call.suffix()),
        };
        let visit = Visit::new(Visited::Lent(transaction));
        let mut answer = abi::GW_ANSWER_DECLINED;
        // SAFETY: gangway.h: the application is loaded and this thread may call it; all that is lent outlives the call, after which
        // the engine uses nothing of it but the state, which `PhaseState` gives to the same engine's forget().
        let status = unsafe { run(app, visit.lend(), &raw const phase, &raw mut answer) };
        SAID.set(said);
        if status != GW_OK {
            return None;
        }
        let verdict = PhaseAnswer::from_abi(answer);
        if verdict.is_none() {
            let text = format_args!("{ENGINE_MISUSE} a phase answered {answer}, which is no status");
            transaction.facts().log(Level::Error, &text.to_string());
        }
        verdict
    }
}
