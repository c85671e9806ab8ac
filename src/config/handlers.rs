// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers of the phase content in processes of their own.

use std::path::Path;

use super::{ApplicationConf, ConfigError, Engines, Managed, Parser, Placed, application::known};
use crate::{
    engine::Interface,
    error::{BAD_OPTION, BAD_TARGET},
    phases::{Handler, HandlerPlace, HandlerTerms, HandlerWords, RequestPhase},
};

/// What engines call handlers of phases.
const INTERFACE: &str = "handlers";

impl Parser<'_> {
    /// Handlers with `processes=` or `user=`, which may ask where the files of the server are.
    ///
    /// # Errors
    /// The first word that is wrong, with the cure.
    pub fn managed_handlers(
        &self,
        engines: &mut Engines,
        words: &HandlerWords,
        terms: &HandlerTerms,
        server_root: &Path,
    ) -> Result<Managed, ConfigError> {
        let (engine, interface) = engines.interface(INTERFACE)?;
        let (interface, _) = for_people(interface);
        check(words)?;
        let all = of_the_application(words, terms);
        let placed = self.place(&all, Some(known(engine, &interface)?), |words_of_it| {
            let mut application = self.application(engine, &interface, words_of_it)?;
            application.name_after(&words.title());
            Ok(application)
        })?;
        let Placed::Managed(mut managed) = placed else {
            let text = "handlers in processes of their own need processes=N or user=NAME";
            return Err(ConfigError::new(BAD_OPTION, text));
        };
        managed.run_handlers(words.of_the_place(terms), server_root);
        Ok(*managed)
    }

    /// Handlers that have this process for themselves.
    ///
    /// # Errors
    /// The first word that is wrong, with the cure.
    pub fn hosted_handlers(
        &self,
        engines: &mut Engines,
        words: &[&[u8]],
        terms: &HandlerTerms,
    ) -> Result<(ApplicationConf, HandlerPlace), ConfigError> {
        let wrong = |why: String| ConfigError::new(BAD_TARGET, format!("handlers {why}"));
        let words = HandlerWords::parse_hosted(words, self.base, terms).map_err(wrong)?;
        let mut place = check(&words)?;
        if place.interpreter().is_none() {
            place.set_interpreter(MAIN);
        }
        let (engine, interface) = engines.interface(INTERFACE)?;
        let (interface, loads_at_once) = for_people(interface);
        let mut application = self.application(engine, &interface, &of_the_application(&words, terms))?;
        application.name_after(&words.title());
        if loads_at_once {
            for handler in of_the_process(&place) {
                application.push(HANDLER, handler);
            }
        }
        Ok((application, place))
    }
}

/// The interpreter of a process that is for one place, where nothing is said: requests with another server's name have the same modules.
const MAIN: &[u8] = b"main";

/// What engines call the handlers that a process is for. Those that state it load them before a request comes.
const HANDLER: &str = "handler";

/// An interface without what only a process says to its engine, and whether there is that.
fn for_people(interface: &Interface) -> (Interface, bool) {
    let mut written = interface.clone();
    written.options.retain(|option| option.name != HANDLER);
    let is_less = written.options.len() < interface.options.len();
    (written, is_less)
}

/// All handlers of a place, each as lines: interpreter, directory, handler, options.
fn of_the_process(place: &HandlerPlace) -> Vec<String> {
    let options: Vec<_> = place.options().iter().map(|(name, value)| [name, b"=", value].concat()).collect();
    let of_one = |handler: Handler<'_>| {
        let mut lines = vec![place.interpreter().unwrap_or_default(), handler.directory, handler.name];
        lines.extend(options.iter().map(Vec::as_slice));
        // What cannot be said in lines is loaded when it is asked for.
        let can_be_said = !lines.iter().any(|line| line.contains(&b'\n'));
        can_be_said.then(|| String::from_utf8(lines.join(&b'\n')).ok()).flatten()
    };
    place.handlers(RequestPhase::Content).filter_map(of_one).collect()
}

/// What they say of a place.
fn check(words: &HandlerWords) -> Result<HandlerPlace, ConfigError> {
    let mut place = HandlerPlace::default();
    words.add_to(&mut place).map_err(|why| ConfigError::new(BAD_TARGET, format!("handlers {why}")))?;
    Ok(place)
}

fn of_the_application<'w>(words: &'w HandlerWords, terms: &HandlerTerms) -> Vec<&'w [u8]> {
    let others = words.application.iter().chain(&words.processes).map(Vec::as_slice);
    std::iter::once(terms.target).chain(others).collect()
}
