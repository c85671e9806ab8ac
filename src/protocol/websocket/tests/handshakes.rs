// SPDX-License-Identifier: MIT OR Apache-2.0
//! RFC 6455 §4.2, §9.1 and RFC 7692 §7.1.

use super::*;

type HeaderPair<'a> = (&'a [u8], &'a [u8]);

const SAMPLE: [HeaderPair<'static>; 5] = [
    (b"Host", b"server.example.com"),
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Version", b"13"),
];

fn read(more: &[HeaderPair<'_>]) -> Result<Handshake, HandshakeError> {
    Handshake::read(SAMPLE.iter().chain(more).copied(), true)
}

/// The answer to an offer of extensions.
fn answer(offer: &str) -> Option<String> {
    let accepted = read(&[(b"Sec-WebSocket-Extensions", offer.as_bytes())]).unwrap().accept(None);
    let field = accepted.fields.into_iter().find(|(name, _)| *name == "Sec-WebSocket-Extensions");
    assert_eq!(field.is_some(), accepted.compression.is_some());
    field.map(|(_, value)| value)
}

#[test]
fn the_sample_of_section_1_3() {
    let accepted = read(&[]).unwrap().accept(None);
    assert_eq!(accepted.fields, [("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned())]);
    assert_eq!(accepted.compression, None);
}

#[test]
fn a_websocket_is_asked_for_by_both_fields() {
    let asked = |upgrade: &[u8], connection: &[u8]| {
        let fields = [(&b"upgrade"[..], upgrade), (&b"CONNECTION"[..], connection)];
        Handshake::is_asked_for(fields.into_iter())
    };
    assert!(asked(b"websocket", b"Upgrade"));
    assert!(asked(b"h2c, WebSocket", b"keep-alive , upgrade"));
    assert!(!asked(b"h2c", b"Upgrade"));
    assert!(!asked(b"websockets", b"Upgrade"));
    assert!(!asked(b"websocket", b"keep-alive"));
    assert!(!asked(b"", b""));
}

#[test]
fn other_versions_are_told_the_one_that_is_known() {
    for version in [&b"8"[..], b"14", b"013", b"13, 8", b""] {
        let fields = SAMPLE.iter().copied().filter(|(name, _)| *name != b"Sec-WebSocket-Version");
        let error =
            Handshake::read(fields.chain([(&b"sec-websocket-version"[..], version)]), true).unwrap_err();
        assert_eq!((error.status(), error.fields()[0]), (426, (c"Sec-WebSocket-Version", c"13")));
    }
    let fields = SAMPLE.iter().copied().filter(|(name, _)| *name != b"Sec-WebSocket-Version");
    assert_eq!(Handshake::read(fields, true), Err(HandshakeError::Version));
    assert_eq!(read(&[(b"Sec-WebSocket-Version", b"13")]), Err(HandshakeError::Malformed("two versions")));
}

#[test]
fn keys_are_sixteen_bytes_in_base64() {
    let with = |key: &'static [u8]| {
        let fields = SAMPLE.iter().copied().filter(|(name, _)| *name != b"Sec-WebSocket-Key");
        Handshake::read(fields.chain([(&b"Sec-WebSocket-Key"[..], key)]), true)
    };
    assert!(with(b"  x3JJHMbDL1EzLkh9GBhXDw== ").is_ok());
    for key in
        [&b""[..], b"x3JJHMbDL1EzLkh9GBhXDw=", b"x3JJHMbDL1EzLkh9GBhXDwAA", b"x3JJHMbDL1EzLkh9GBhXD-=="]
    {
        assert_eq!(with(key).unwrap_err().status(), 400, "{}", key.escape_ascii());
    }
    assert_eq!(read(&[SAMPLE[3]]), Err(HandshakeError::Malformed("two keys")));
}

#[test]
fn subprotocols_are_one_list_over_all_fields() {
    let handshake =
        read(&[(b"Sec-WebSocket-Protocol", b"chat, superchat"), (b"sec-websocket-protocol", b" v2.x ,")]);
    let handshake = handshake.unwrap();
    assert_eq!(handshake.subprotocols, ["chat", "superchat", "v2.x"]);
    let accepted = handshake.accept(Some("superchat"));
    assert!(accepted.fields.contains(&("Sec-WebSocket-Protocol", "superchat".to_owned())));
    assert!(read(&[(b"Sec-WebSocket-Protocol", b"chat, chat")]).is_err());
    assert!(read(&[(b"Sec-WebSocket-Protocol", b"two words")]).is_err());
    assert!(read(&[(b"Sec-WebSocket-Protocol", b"caf\xc3\xa9")]).is_err());
    let many = (0..65).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    assert!(read(&[(b"Sec-WebSocket-Protocol", many.as_bytes())]).is_err());
}

const ALONE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

#[test]
fn offers_of_compression() {
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate;client_max_window_bits=8",
        "Permessage-Deflate ; server_no_context_takeover;client_no_context_takeover",
        "x-webkit-deflate-frame, permessage-deflate",
        "foo;bar=\"baz\", permessage-deflate; client_max_window_bits=\"10\"",
        "permessage-deflate; server_max_window_bits=7, permessage-deflate",
        "permessage-deflate; unknown, permessage-deflate",
    ] {
        assert_eq!(answer(offer).as_deref(), Some(ALONE), "{offer}");
    }
    for bits in ["8", "10", "15"] {
        let offer = format!("permessage-deflate; server_max_window_bits={bits}; client_max_window_bits");
        assert_eq!(answer(&offer).unwrap(), format!("{ALONE}; server_max_window_bits={bits}"));
    }
}

#[test]
fn offers_that_are_not_accepted() {
    for offer in [
        "permessage-bzip2",
        "permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
    ] {
        assert_eq!(answer(offer), None, "{offer}");
    }
    let handshake = Handshake::read(
        SAMPLE.iter().copied().chain([(&b"Sec-WebSocket-Extensions"[..], &b"permessage-deflate"[..])]),
        false,
    );
    assert_eq!(handshake.unwrap().accept(None).compression, None, "switched off");
}

/// RFC 6455 §9.1: what is not written as the grammar says fails the connection.
#[test]
fn lists_that_cannot_be_read() {
    for offer in
        [",", "a b", "a;", "a;b=", "a;b=\"", "a;b=\"\"", "a;b=\"x y\"", "a;=b", "a,", "\"a\"", "a;b=\"\\"]
    {
        let error = read(&[(b"Sec-WebSocket-Extensions", offer.as_bytes())]).unwrap_err();
        assert_eq!(error.status(), 400, "{offer}");
    }
    let two =
        read(&[(b"Sec-WebSocket-Extensions", b"x"), (b"Sec-WebSocket-Extensions", b"permessage-deflate")]);
    assert!(two.unwrap().accept(None).compression.is_some(), "several fields are one list");
}
