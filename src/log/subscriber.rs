// SPDX-License-Identifier: MIT OR Apache-2.0
//! The subscriber of `tracing` that writes the server's error log, and the seam for others.
//!
//! It may touch the sink of the process and nothing of a server. There is one for each shared object, as each has its own
//! `tracing`; shared objects of servers are never unmapped, so that what `tracing` keeps of call sites stays valid.

use std::{
    cell::{Cell, RefCell},
    fmt::{self, Write},
    sync::{Once, OnceLock},
};

use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};

use super::{Level, write};
use crate::error::Code;

/// The target of everything that is ours.
const TARGET: &str = "gangway";

/// Who else sees events, and the spans of requests.
static OBSERVER: OnceLock<Dispatch> = OnceLock::new();

thread_local! {
    /// Whether the log of the request that an event is about takes it.
    static TAKEN: Cell<bool> = const { Cell::new(false) };
    /// The line that such an event has become, on its way back to the caller.
    static RETURNED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A span that nobody but us has asked for. Observers count from 1.
const UNOBSERVED: u64 = u64::MAX;

/// Lets a subscriber see the events and the requests of this process, beside the error log. The first one stays; spans of
/// requests exist from now on.
pub fn observe(subscriber: impl Subscriber + Send + Sync + 'static) {
    subscribe();
    // The registry of `tracing` asks it about every call site, again and again.
    let _ = OBSERVER.set(Dispatch::new(subscriber));
}

pub(super) fn is_observed() -> bool {
    OBSERVER.get().is_some()
}

/// One subscriber for the life of the process.
pub(crate) fn subscribe() {
    static SUBSCRIBED: Once = Once::new();
    // Somebody else's is possible in a test only; lines are written without ours then.
    SUBSCRIBED.call_once(|| drop(tracing::subscriber::set_global_default(ErrorLog)));
}

/// An event for each level, so that each is switched by itself; its name is the level.
macro_rules! emit {
    ($level:expr, $request:expr, $code:expr, $text:expr) => {
        match $level {
            Level::Error => emit!("error", ERROR, $request, $code, $text),
            Level::Warn => emit!("warn", WARN, $request, $code, $text),
            Level::Notice => emit!("notice", INFO, $request, $code, $text),
            Level::Info => emit!("info", INFO, $request, $code, $text),
            Level::Debug => emit!("debug", DEBUG, $request, $code, $text),
            Level::Further => emit!("further", ERROR, $request, $code, $text),
        }
    };
    ($name:literal, $level:ident, $request:expr, $code:expr, $text:expr) => {
        tracing::event!(name: $name, target: TARGET, tracing::Level::$level,
            of_request = $request, code = $code, message = $text)
    };
}

/// A line about the process.
pub(super) fn process(level: Level, code: Option<Code>, text: fmt::Arguments<'_>) {
    subscribe();
    let code = code.as_ref().map(tracing::field::display);
    emit!(level, false, code, text);
}

/// The line about a request, if its own log takes it.
pub(super) fn request(
    takes: bool,
    level: Level,
    code: Option<Code>,
    text: fmt::Arguments<'_>,
) -> Option<String> {
    subscribe();
    TAKEN.set(takes);
    let shown = code.as_ref().map(tracing::field::display);
    emit!(level, true, shown, text);
    let line = RETURNED.take();
    line.or_else(|| {
        takes.then(|| match code {
            Some(code) => format!("{code} {text}"),
            None => text.to_string(),
        })
    })
}

/// Writes the server's error log.
struct ErrorLog;

impl Subscriber for ErrorLog {
    /// The registry of `tracing` adds what an observer wants.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_ours(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata) || OBSERVER.get().is_some_and(|observer| observer.enabled(metadata))
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let observer = OBSERVER.get().filter(|observer| observer.enabled(span.metadata()));
        observer.map_or_else(|| Id::from_u64(UNOBSERVED), |observer| observer.new_span(span))
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        if let Some(observer) = observer_of(span) {
            observer.record(span, values);
        }
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        if let Some(observer) = observer_of(span) {
            observer.record_follows_from(span, follows);
        }
    }

    fn event(&self, event: &Event<'_>) {
        if let Some(observer) = OBSERVER.get()
            && observer.enabled(event.metadata())
        {
            observer.event(event);
        }
        let Some(level) = level_of(event.metadata()) else { return };
        let mut subject = Subject(false);
        event.record(&mut subject);
        if subject.0 && !TAKEN.get() {
            return;
        }
        let mut line = LineText::default();
        event.record(&mut line);
        if subject.0 {
            RETURNED.set(Some(line.text));
        } else {
            write(level, &line.text);
        }
    }

    fn enter(&self, span: &Id) {
        if let Some(observer) = observer_of(span) {
            observer.enter(span);
        }
    }

    fn exit(&self, span: &Id) {
        if let Some(observer) = observer_of(span) {
            observer.exit(span);
        }
    }

    fn clone_span(&self, span: &Id) -> Id {
        observer_of(span).map_or_else(|| span.clone(), |observer| observer.clone_span(span))
    }

    fn try_close(&self, span: Id) -> bool {
        observer_of(&span).is_some_and(|observer| observer.try_close(span))
    }
}

/// Whose span it is.
fn observer_of(span: &Id) -> Option<&'static Dispatch> {
    OBSERVER.get().filter(|_| span.into_u64() != UNOBSERVED)
}

/// What is made only when somebody wants it: lines, and spans of requests.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

/// The server's level of an event, which is finer than that of `tracing`: its name. `None` for an event of a library.
fn level_of(metadata: &Metadata<'_>) -> Option<Level> {
    if metadata.target() != TARGET {
        return None;
    }
    Some(match metadata.name() {
        "error" => Level::Error,
        "warn" => Level::Warn,
        "notice" => Level::Notice,
        "info" => Level::Info,
        "debug" => Level::Debug,
        "further" => Level::Further,
        _ => return None,
    })
}

/// Whether an event is about a request.
struct Subject(bool);

impl Visit for Subject {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0 |= value && field.name() == "of_request";
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The line of an event: its code, if it has one, and its message.
#[derive(Default)]
struct LineText {
    text: String,
}

impl Visit for LineText {
    fn record_bool(&mut self, _: &Field, _: bool) {}

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Fields come in the order in which the event names them. Writing to a String cannot fail.
        let _ = match field.name() {
            "code" => write!(self.text, "{value:?} "),
            "message" => write!(self.text, "{value:?}"),
            _ => return,
        };
    }
}
