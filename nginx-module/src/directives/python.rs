// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_python_handler`.

use std::sync::Arc;

use gangway::{
    config::Parser,
    error::TWO_HANDLERS,
    phases::{HandlerDirective, HandlerPlace, HandlerTerms, HandlerWords, RequestPhase},
    runtime,
};

use super::{managed::set_managed, setter, wsgi::DEFAULT_TIMEOUT};
use crate::{
    conf::{Counted, LocationConf, MainConf},
    phases::{self, WantedHandlers},
    raw::Conf,
    wsgi::Applications,
};

const NAME: &str = "gangway_python_handler";

/// The Python engine's words: settings by the names of mod_python's directives, and what it states of its application.
const TERMS: HandlerTerms = HandlerTerms {
    switches: &[("debug", "PythonDebug"), ("autoreload", "PythonAutoReload")],
    application: &["venv", "python", "env", "env_file", "path", "import"],
    target: b"mod_python",
    refusal,
};

setter!(set_python_handler, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    set_words(cf, location, cf.words().get(1..).unwrap_or_default())
});

/// What the words behind the directive's name say.
pub(super) fn set_words(cf: &Conf, location: &mut LocationConf, words: &[&[u8]]) -> Result<(), String> {
    match HandlerDirective::parse(words, cf.prefix(), &TERMS)? {
        HandlerDirective::Off(None) => location.handlers.is_off = true,
        HandlerDirective::Off(Some(phase)) => location.handlers.own.end(phase),
        HandlerDirective::Handlers(words) => add(cf, location, &words)?,
    }
    Ok(())
}

/// Phases that nginx does not have, each with the way out.
fn refusal(phase: &str) -> Option<&'static str> {
    Some(match phase {
        "type" => {
            "nginx takes the type of a file from its name (types, default_type): let a handler of the phase content set \
                   req.content_type, or one of fixup set what other handlers look at"
        }
        "input_filter" => {
            "nginx has no filters for bodies of requests: let the handler of the phase content read and change the body"
        }
        "connection" => {
            "nginx has no such phase in its http block: the server module of another protocol belongs into the stream block"
        }
        _ => return None,
    })
}

fn add(cf: &Conf, location: &mut LocationConf, words: &HandlerWords) -> Result<(), String> {
    let phase = words.phase.unwrap_or(RequestPhase::Content);
    let is_early = matches!(phase, RequestPhase::PostReadRequest | RequestPhase::Trans);
    if is_early && !cf.location_name().is_empty() {
        return Err("names a phase that comes before nginx knows the location: let it stand in the server or http block".into());
    }
    if phase == RequestPhase::Content
        && let Some(known) = &location.handler
    {
        return Err(format!(
            "{TWO_HANDLERS} cannot stand beside \"{}\" in one location: give each a location of its own",
            known.directive
        ));
    }
    if words.is_managed() {
        return add_managed(cf, location, words);
    }
    words.add_to(&mut location.handlers.own)?;
    cf.change_http(|main: &mut MainConf| {
        let MainConf { engines, kinds, .. } = main;
        let parser = Parser { base: cf.prefix(), timeout: None };
        kinds.entry::<WantedHandlers>().add(&parser, engines, phase, &words.application)?;
        engines.take_refusals().iter().for_each(|line| cf.warn(line));
        Ok(())
    })
}

/// Handlers that give the content in processes of their own: there they are an application, and what other directives say of handlers is
/// not for them.
fn add_managed(cf: &Conf, location: &mut LocationConf, words: &HandlerWords) -> Result<(), String> {
    if cf.location_name().is_empty() {
        return Err("has handlers in processes of their own, which answer the requests of a location: let it stand in one".into());
    }
    if location.handlers.own.has(RequestPhase::Content) {
        return Err(format!(
            "{TWO_HANDLERS} stands twice in one location, and handlers with processes= or user= stand alone"
        ));
    }
    let managed = cf.change_http(|main: &mut MainConf| {
        let parser = Parser { base: cf.prefix(), timeout: Some(DEFAULT_TIMEOUT) };
        let managed = parser
            .managed_handlers(&mut main.engines, words, &TERMS, cf.server_root())
            .map_err(|error| error.to_string())?;
        main.engines.take_refusals().iter().for_each(|line| cf.warn(line));
        Ok::<_, String>(managed)
    })?;
    set_managed(cf, location, NAME, managed)
}

/// A block has what the blocks around it say, but for the phases of which it says something itself.
///
/// # Errors
/// Another directive gives the content as well.
pub(super) fn merge(cf: &Conf, outer: &LocationConf, inner: &mut LocationConf) -> Result<(), String> {
    let around = if outer.handlers.is_merged {
        outer.handlers.place.clone()
    } else {
        // The http block, which is merged with nothing.
        Some(Arc::new(outer.handlers.own.clone()))
    };
    let around = around.filter(|_| !inner.handlers.is_off);
    let own = &inner.handlers.own;
    let gives_content = own.has(RequestPhase::Content);
    let merged = match around {
        Some(around) if *own == HandlerPlace::default() => around,
        Some(around) => Arc::new(HandlerPlace::merged(&around, own)),
        None => Arc::new(own.clone()),
    };
    let (is_block, has_other) = (cf.is_nameless_block(), cf.has_content_handler());
    if gives_content && has_other && !is_block {
        return Err(format!(
            "\"{NAME}\" {TWO_HANDLERS} gives the content of a location to which another directive gives a handler: \
             let each have a location of its own"
        ));
    }
    let is_inherited = merged.has(RequestPhase::Content) && !has_other;
    if gives_content || is_inherited && (!is_block || outer.handlers.gives_content) {
        inner.handlers.gives_content = true;
        cf.set_content_handler(phases::content_handler);
    }
    (inner.handlers.place, inner.handlers.is_merged) = (Some(merged), true);
    Ok(())
}

/// Puts the filters into their place, if there are some.
pub(super) fn install_filters(cf: &Conf) {
    let has = cf.change_http(|main: &mut MainConf| {
        main.kinds.get::<WantedHandlers>().is_some_and(WantedHandlers::has_filters)
    });
    if has {
        phases::install_filters();
    }
}

/// Everything has been read: adds the application that stands for all handlers, and has nginx call what they need. Answers false without
/// memory.
///
/// # Errors
/// Why there can be no handlers.
pub(super) fn install(cf: &Conf) -> Result<bool, String> {
    cf.change_http(|main: &mut MainConf| {
        let Some(config) = main.kinds.entry::<WantedHandlers>().config().cloned() else { return Ok(true) };
        let Applications { all, .. } = main.kinds.entry();
        all.push(config.clone());
        runtime::check_newest(all).map_err(|error| format!("\"{NAME}\" {error}"))?;
        let counted = main.kinds.entry::<Counted>().add_application(&config);
        let Applications { all, counted: numbers } = main.kinds.entry();
        numbers.push(counted);
        // The first one that loads starts the interpreter.
        if config.loads_before(all.iter()) {
            all.rotate_right(1);
            numbers.rotate_right(1);
        }
        let wanted = main.kinds.entry::<WantedHandlers>();
        wanted.settle(counted);
        Ok(phases::install(cf, wanted))
    })
}
