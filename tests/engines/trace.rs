// SPDX-License-Identifier: MIT OR Apache-2.0
//! The seam for exporters: a subscriber of `tracing` beside the error log sees requests as spans with their fields, and
//! lines as events of the requests that they are about.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt::Debug,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use gangway::{
    error::CLIENT_LEFT,
    http::Fields as Variables,
    log::{self, Level, RequestLog},
    report,
    trace::{Answerer, Trace},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::world::{World, get};

/// The fields of a span or an event, as text.
#[derive(Clone, Debug, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Fields {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

#[derive(Debug, Default)]
struct Span {
    fields: Fields,
    events: Vec<Fields>,
    closed: bool,
}

struct Observer;

static SPANS: Mutex<BTreeMap<u64, Span>> = Mutex::new(BTreeMap::new());

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

fn spans() -> MutexGuard<'static, BTreeMap<u64, Span>> {
    SPANS.lock().unwrap()
}

impl Subscriber for Observer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "gangway"
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut span = Span::default();
        attributes.record(&mut span.fields);
        spans().insert(id, span);
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        if let Some(span) = spans().get_mut(&id.into_u64()) {
            values.record(&mut span.fields);
        }
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let current = ENTERED.with_borrow(|entered| entered.last().copied());
        if let Some(span) = current
            && let Some(span) = spans().get_mut(&span)
        {
            span.events.push(fields);
        }
    }

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, _id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.pop());
    }

    fn try_close(&self, id: Id) -> bool {
        if let Some(span) = spans().get_mut(&id.into_u64()) {
            span.closed = true;
        }
        true
    }
}

/// A request's log as a server module has it.
struct OwnLog {
    most: Level,
    lines: RefCell<Vec<String>>,
}

impl RequestLog for OwnLog {
    fn takes(&self, level: Level) -> bool {
        level <= self.most
    }

    fn write(&self, _: Level, line: &str) {
        self.lines.borrow_mut().push(line.to_owned());
    }
}

#[test]
fn a_request_is_told_of_in_a_log_at_debug() {
    let world = World::new();
    let app = world.load("good/hello", &[]);
    let client = get("/").with("HTTP_X_REQUEST_ID", "loud-1").traced().answer(&app);
    let lines: Vec<_> =
        client.lines.iter().filter(|line| line.starts_with("the response has ended: ")).collect();
    let [line] = lines.as_slice() else { panic!("{:?}", client.lines) };
    assert!(line.contains(" status=200 application=") && line.ends_with(" request_id=loud-1"), "{line}");
    world.end();
}

#[test]
fn nothing_is_made_of_a_line_that_nobody_wants() {
    let own = OwnLog { most: Level::Error, lines: RefCell::default() };
    let mut made = false;
    let mut value = || made = true;
    // Unless the other test observes the process.
    if !log::is_observed() {
        report!(own, Debug, None, "{:?}", value());
    }
    report!(own, Error, None, "{:?}", ());
    assert!(!made || log::is_observed());
    assert_eq!(own.lines.take(), ["()"]);
}

/// The context that a client's own trace gives.
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_subscriber_sees_requests_to_backends_and_scripts() {
    log::observe(Observer);
    for (answerer, kind, id) in
        [(Answerer::Backend, "backend", "there-1"), (Answerer::Script, "script", "run-1")]
    {
        let trace = Trace::open(false, answerer).unwrap();
        let mut variables = Variables::default();
        variables.push(b"HTTP_X_REQUEST_ID", id.as_bytes());
        variables.push(b"HTTP_TRACEPARENT", PARENT.as_bytes());
        trace.identify(&variables);
        trace.begin();
        trace.name("the first that was asked".to_owned());
        trace.name("the one that answered".to_owned());
        let own = OwnLog { most: Level::Warn, lines: RefCell::default() };
        trace.within(|| report!(own, Warn, CLIENT_LEFT, "somebody has left"));
        trace.start(200);
        trace.end(Some(502), &own);
        assert_eq!(own.lines.take(), [format!("{CLIENT_LEFT} somebody has left")]);
        drop(trace);

        let spans = spans();
        let span = spans.values().find(|span| span.fields.get("request_id") == Some(id)).unwrap();
        let field = |name| span.fields.get(name);
        assert_eq!((field("kind"), field(kind)), (Some(kind), Some("the one that answered")));
        assert_eq!((field("application"), field("status")), (None, Some("502")));
        assert_eq!(field("traceparent"), Some(PARENT));
        assert!(["queue_us", "run_us"].into_iter().all(|time| field(time).is_some()), "{:?}", span.fields);
        let [line, end] = span.events.as_slice() else { panic!("{:?}", span.events) };
        assert_eq!(line.get("message"), Some("somebody has left"));
        let start = format!("the response has ended: status=502 {kind}=the one that answered queue_us=");
        assert!(end.get("message").is_some_and(|text| text.starts_with(&start)), "{end:?}");
        assert!(span.closed);
    }
}

#[test]
fn a_subscriber_sees_a_request_with_its_fields_and_its_lines() {
    log::observe(Observer);
    let world = World::new();
    let app = world.load("good/hello", &[]);
    let request = get("/").with("UNIQUE_ID", "traced-1").with("HTTP_TRACEPARENT", PARENT);
    let mut client = request.answer(&app);
    assert_eq!(client.text(), "Hello from C\n");
    // What a server module says of the request, to a log that takes no more than warnings.
    let own = OwnLog { most: Level::Warn, lines: RefCell::default() };
    client.exchange.within(|| {
        report!(own, Info, CLIENT_LEFT, "{} has left", "somebody");
        report!(own, Warn, None, "it goes on");
    });
    assert_eq!(own.lines.take(), ["it goes on"]);
    // A line with a code: the log of the request has it as ever.
    client.exchange.finish(gangway::exchange::Outcome::Complete).unwrap_err();
    world.end();
    let lines = std::mem::take(&mut client.lines);
    drop(client);

    let spans = spans();
    let span = spans.values().find(|span| span.fields.get("request_id") == Some("traced-1")).unwrap();
    let fields = &span.fields;
    assert_eq!(fields.get("traceparent"), Some(PARENT));
    assert_eq!(fields.get("kind"), Some("application"));
    assert!(fields.get("application").is_some_and(|name| !name.is_empty()), "{fields:?}");
    assert_eq!(fields.get("status"), Some("200"));
    for time in ["queue_us", "run_us"] {
        assert!(fields.get(time).is_some_and(|time| time.parse::<u64>().is_ok()), "{time}: {fields:?}");
    }
    let said: Vec<_> =
        span.events.iter().map(|event| (event.get("code"), event.get("message").unwrap())).collect();
    let misuse = gangway::error::ENGINE_MISUSE.to_string();
    let left = CLIENT_LEFT.to_string();
    let [(None, ended), gone, on, broken] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((*gone, *on), ((Some(left.as_str()), "somebody has left"), (None, "it goes on")));
    assert!(ended.starts_with("the response has ended: status=200 application="), "{ended}");
    assert_eq!(*broken, (Some(misuse.as_str()), "the engine broke its contract: finish() was called twice"));
    assert!(lines.is_empty(), "the log of the request is not at debug: {lines:?}");
    assert!(span.closed, "the request has no reference any more");
}
