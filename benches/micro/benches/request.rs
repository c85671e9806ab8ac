// SPDX-License-Identifier: MIT OR Apache-2.0
//! The core's share of one request: variables in, head and body out, the way back to an event loop.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use gangway::{
    cgi::{Facts, meta_variables},
    exchange::{Body, Channel, OutboxEvent, Exchange, Notify, Outbox, Outcome, Piece, ROOM, RequestHead, Wait},
    http::{Fields, Head},
};

/// What wrk sends.
const FEW: &[(&[u8], &[u8])] = &[(b"Host", b"127.0.0.1:8080")];

/// What a browser sends.
const MANY: &[(&[u8], &[u8])] = &[
    (b"Host", b"www.example.org"),
    (b"User-Agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"Accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"Accept-Language", b"en-US,en;q=0.5"),
    (b"Accept-Encoding", b"gzip, deflate, br, zstd"),
    (b"Referer", b"https://www.example.org/blog/2024/a-page-with-a-name"),
    (b"Connection", b"keep-alive"),
    (b"Cookie", b"csrftoken=0123456789abcdef0123456789abcdef; sessionid=0123456789abcdef0123456789abcdef"),
    (b"Upgrade-Insecure-Requests", b"1"),
    (b"Sec-Fetch-Dest", b"document"),
    (b"Sec-Fetch-Mode", b"navigate"),
    (b"Sec-Fetch-Site", b"same-origin"),
    (b"Sec-Fetch-User", b"?1"),
    (b"Priority", b"u=0, i"),
];

const ANSWER: &[(&[u8], &[u8])] = &[(b"Content-Type", b"text/plain"), (b"Content-Length", b"14")];

fn variables(headers: &[(&[u8], &[u8])]) -> Fields {
    let facts = Facts {
        method: b"GET",
        request_uri: b"/hello",
        path: b"/hello",
        protocol: b"HTTP/1.1",
        mount: b"/",
        document_root: b"/usr/share/nginx/html",
        server_name: b"localhost",
        server_port: b"8080",
        server_addr: b"127.0.0.1",
        server_software: b"nginx/1.22.1",
        remote_addr: b"127.0.0.1",
        remote_port: b"40000",
        ..Facts::default()
    };
    meta_variables(&facts, headers.iter().copied(), &[])
}

fn heads(criterion: &mut Criterion) {
    criterion.bench_function("meta_variables, 1 header", |bench| bench.iter(|| variables(black_box(FEW))));
    criterion.bench_function("meta_variables, 14 headers", |bench| bench.iter(|| variables(black_box(MANY))));
    criterion.bench_function("response head, 2 headers", |bench| {
        bench.iter(|| Head::check(200, b"OK", black_box(ANSWER).iter().copied()));
    });
}

/// One exchange over a channel, from the adapter's first call to the last piece in its hands.
fn answer(outbox: &Arc<Outbox>, events: &mut Vec<OutboxEvent>, blocks: usize, flush: bool) -> usize {
    let notify: Arc<dyn Notify> = Arc::clone(outbox) as _;
    let channel = Channel::new(1, notify, Body::default(), ROOM);
    let head = RequestHead { variables: Fields::default(), content_length: Some(0), no_body: false, ..RequestHead::default() };
    let exchange = Exchange::new(head, Arc::clone(&channel) as _);
    let mut taken = 0;
    let headers = if blocks == 1 { ANSWER } else { ANSWER.get(..1).unwrap_or_default() };
    let started = exchange.start(200, b"OK", headers.iter().copied());
    assert!(started.is_ok(), "the head is in order");
    for _ in 0..blocks {
        let written = exchange.write(Piece::Copied(b"Hello, World!\n".to_vec()), flush, Wait::Yes);
        assert!(written.is_ok(), "there is room: everything is taken at once");
        taken += usize::from(flush) * take(outbox, events, &channel);
    }
    assert!(exchange.finish(Outcome::Complete).is_ok(), "it ends once");
    taken + take(outbox, events, &channel)
}

fn take(outbox: &Outbox, events: &mut Vec<OutboxEvent>, channel: &Channel) -> usize {
    events.clear();
    outbox.drain(events);
    let delivery = channel.take();
    channel.sent(delivery.weight());
    delivery.pieces.len()
}

fn exchanges(criterion: &mut Criterion) {
    let Ok(outbox) = Outbox::new().map(Arc::new) else { return };
    let mut events = Vec::new();
    criterion.bench_function("exchange, one block, with its eventfd write", |bench| {
        bench.iter(|| answer(&outbox, &mut events, 1, false));
    });
    criterion.bench_function("exchange, 100 blocks flushed and taken one by one", |bench| {
        bench.iter(|| answer(&outbox, &mut events, 100, true));
    });
}

criterion_group!(benches, heads, exchanges);
criterion_main!(benches);
