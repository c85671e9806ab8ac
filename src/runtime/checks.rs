// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the applications of a configuration can be loaded together. Engines are opened and asked, nothing is started.

use std::{collections::HashSet, path::Path};

use crate::{
    config::{ApplicationConf, Command, Managed},
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
        let cure = "or give one of them a process of its own: processes=1";
        engine.check(&specs).map_err(|reason| format!("{CANNOT_SHARE} {reason}; {cure}"))
    })
}

/// What the workers, which are this user, would find wrong with configurations that passed [`check`]: they may not enter or
/// read what root may. For the configuration phase, by root.
#[must_use]
pub fn check_as(configs: &[ApplicationConf], worker: &Identity) -> Vec<String> {
    let mut seen = HashSet::with_capacity(configs.len());
    let distinct = configs.iter().filter(|config| seen.insert(*config));
    let who = format!("the workers' user \"{}\"", worker.name);
    faults_of(distinct.map(|config| (config.engine(), config.spec())), worker, &who)
}

/// As [`check`], for an application in processes of its own, which it shares with nobody.
///
/// # Errors
/// The reason.
pub fn check_managed(managed: &Managed) -> Result<(), String> {
    let Command::Host { engine, spec, .. } = &managed.launch().command else { return Ok(()) };
    let engine = Engine::open(engine).map_err(|error| format!("{} {error}", error.code()))?;
    engine.check(&[spec]).map_err(|reason| format!("{BAD_VALUE} {reason}"))
}

/// As [`check_as`], for applications in processes of their own: each as its user.
#[must_use]
pub fn check_managed_as(all: &[Managed], worker: &Identity) -> Vec<String> {
    type Applications<'m> = Vec<(&'m Path, &'m Spec)>;
    let mut users: Vec<(Option<&Identity>, Applications<'_>)> = Vec::new();
    for managed in all {
        let Command::Host { engine, spec, .. } = &managed.launch().command else { continue };
        let user = managed.launch().user.as_ref();
        match users.iter_mut().find(|(known, _)| *known == user) {
            Some((_, applications)) => applications.push((engine, spec)),
            None => users.push((user, vec![(engine, spec)])),
        }
    }
    let faults = users.into_iter().flat_map(|(user, applications)| match user {
        Some(user) => faults_of(applications.into_iter(), user, &format!("its user \"{}\"", user.name)),
        None => {
            faults_of(applications.into_iter(), worker, &format!("the workers' user \"{}\"", worker.name))
        }
    });
    faults.collect()
}

fn faults_of<'c>(
    applications: impl Iterator<Item = (&'c Path, &'c Spec)>,
    user: &Identity,
    who: &str,
) -> Vec<String> {
    // Opened before: the engines themselves are opened by root in any case.
    let applications: Vec<_> =
        applications.filter_map(|(engine, spec)| Some((Engine::open(engine).ok()?, spec))).collect();
    if applications.is_empty() {
        return Vec::new();
    }
    sys::see_as(user, || {
        let faults =
            applications.iter().filter_map(|(engine, spec)| Some((engine.check(&[spec]).err()?, spec)));
        faults.map(|(reason, spec)| format!("{CLOSED} {}: for {who}: {reason}", spec.name)).collect()
    })
}
