// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the applications of a configuration can be loaded together. Engines are opened and asked, nothing is started.

use std::{collections::HashSet, path::Path};

use crate::{
    config::ApplicationConf,
    engine::{Engine, Spec},
    error::{BAD_VALUE, CANNOT_SHARE, CLOSED},
    rights::Identity,
    sys,
};

/// Asks the engine of each configuration whether all of them are right and can share a process. For the configuration
/// phase: nothing is started.
///
/// # Errors
/// The index of the configuration at fault and the reason.
pub fn check(configs: &[ApplicationConf]) -> Result<(), (usize, String)> {
    sys::umask::note();
    let mut seen = HashSet::with_capacity(configs.len());
    for (index, config) in configs.iter().enumerate().filter(|(_, config)| seen.insert(*config)) {
        check_alone(config).map_err(|reason| (index, reason))?;
    }
    // An engine looks at each pair: all at once is the usual case, and who has come first is asked about a fault alone.
    if check_together(configs).is_ok() {
        return Ok(());
    }
    let fault =
        (1..=configs.len()).find_map(|count| Some((count - 1, check_together(configs.get(..count)?).err()?)));
    fault.map_or(Ok(()), Err)
}

/// As [`check`], for one configuration more than the last time.
///
/// # Errors
/// The reason.
pub fn check_newest(configs: &[ApplicationConf]) -> Result<(), String> {
    sys::umask::note();
    match configs.split_last() {
        Some((newest, before)) if !before.contains(newest) => {
            check_alone(newest)?;
            check_together(configs)
        }
        _ => Ok(()),
    }
}

fn check_alone(config: &ApplicationConf) -> Result<(), String> {
    let engine = Engine::open(config.engine()).map_err(|error| format!("{} {error}", error.code()))?;
    engine.check(&[config.spec()]).map_err(|reason| format!("{BAD_VALUE} {reason}"))
}

/// Asks each engine once about all that is its own. What is said several times is one application.
fn check_together(configs: &[ApplicationConf]) -> Result<(), String> {
    let mut seen = HashSet::with_capacity(configs.len());
    let mut engines: Vec<(&Path, Vec<&Spec>)> = Vec::new();
    for config in configs.iter().filter(|config| seen.insert(*config)) {
        match engines.iter_mut().find(|(engine, _)| *engine == config.engine()) {
            Some((_, specs)) => specs.push(config.spec()),
            None => engines.push((config.engine(), vec![config.spec()])),
        }
    }
    engines.into_iter().try_for_each(|(engine, specs)| {
        let engine = Engine::open(engine).map_err(|error| format!("{} {error}", error.code()))?;
        engine.check(&specs).map_err(|reason| format!("{CANNOT_SHARE} {reason}"))
    })
}

/// What the workers, which are this user, would find wrong with configurations that passed [`check`]: they may not enter or
/// read what root may. For the configuration phase, by root.
#[must_use]
pub fn check_as(configs: &[ApplicationConf], worker: &Identity) -> Vec<String> {
    // Opened before: the engines themselves are opened by root in any case.
    let mut seen = HashSet::with_capacity(configs.len());
    let applications: Vec<_> = configs
        .iter()
        .filter(|config| seen.insert(*config))
        .filter_map(|config| Some((Engine::open(config.engine()).ok()?, config.spec())))
        .collect();
    if applications.is_empty() {
        return Vec::new();
    }
    let user = &worker.name;
    sys::see_as(worker, || {
        let faults =
            applications.iter().filter_map(|(engine, spec)| Some((engine.check(&[spec]).err()?, spec)));
        faults
            .map(|(reason, spec)| {
                format!("{CLOSED} {}: for the workers' user \"{user}\": {reason}", spec.name)
            })
            .collect()
    })
}
