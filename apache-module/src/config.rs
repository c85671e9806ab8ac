// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration that is being read, or that a child has inherited: the engines, and what each kind of handler keeps of it.

use std::{
    any::Any,
    sync::{Mutex, PoisonError},
};

use gangway::config::{Engines, PerKind};
use gangway_httpd::directive::Command;

use crate::raw;

static READ: Mutex<Read> = Mutex::new(Read::new());

struct Read {
    engines: Engines,
    kinds: PerKind,
}

impl Read {
    const fn new() -> Self {
        Self { engines: Engines::new(), kinds: PerKind::new() }
    }
}

fn read<R>(body: impl FnOnce(&mut Read) -> R) -> R {
    body(&mut READ.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A new configuration begins.
pub(crate) fn reset() {
    raw::install_log();
    read(|read| *read = Read::new());
}

/// What a kind of handler keeps: one value of each type, which is made when it is asked for first.
pub(crate) fn kept<T: Any + Default + Send, R>(body: impl FnOnce(&mut T) -> R) -> R {
    read(|read| body(read.kinds.entry()))
}

/// The engines that there are.
pub(crate) fn with_engines<R>(body: impl FnOnce(&mut Engines) -> R) -> R {
    read(|read| body(&mut read.engines))
}

/// `GangwayEngineDir DIR`.
pub(crate) fn engine_dir(command: &Command<'_>, words: &[&[u8]]) -> Result<(), String> {
    command.check_global()?;
    let [directory] = words else { return Err("needs one directory".into()) };
    read(|read| read.engines.name_directory(command.server_root(), directory))
}
