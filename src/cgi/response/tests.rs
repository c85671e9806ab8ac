// SPDX-License-Identifier: MIT OR Apache-2.0
//! Heads whole, cut in two at every place, and byte by byte.

use proptest::strategy::Strategy;

use super::*;

/// Everything that is said about a head.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: u16,
    reason: String,
    fields: Vec<(String, String)>,
    /// What follows the head.
    body: Vec<u8>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into()
}

fn run<'p>(
    mut parser: ResponseParser,
    parts: impl IntoIterator<Item = &'p [u8]>,
) -> Result<Told, ResponseError> {
    let mut body = None::<Vec<u8>>;
    for part in parts {
        match &mut body {
            Some(body) => body.extend_from_slice(part),
            None => body = parser.feed(part)?.map(|used| part[used..].to_vec()),
        }
    }
    parser.finish()?;
    let head = parser.head();
    Ok(Told {
        status: head.status(),
        reason: text(head.reason()),
        fields: head.fields().map(|(name, value)| (text(name), text(value))).collect(),
        body: body.unwrap(),
    })
}

fn all_ways(form: Form, limit: usize, wire: &[u8]) -> Result<Told, ResponseError> {
    let parser = || ResponseParser::new(form, limit);
    let told = run(parser(), [wire]);
    for cut in 0..=wire.len() {
        let (head, tail) = wire.split_at(cut);
        assert_eq!(run(parser(), [head, tail]), told, "cut after byte {cut}");
    }
    assert_eq!(run(parser(), wire.chunks(1)), told, "byte by byte");
    told
}

fn cgi(wire: &str) -> Result<Told, ResponseError> {
    all_ways(Form::Cgi, 1024, wire.as_bytes())
}

fn status(wire: &str) -> (u16, String) {
    let told = cgi(wire).unwrap_or_else(|error| panic!("{wire:?}: {error}"));
    (told.status, told.reason)
}

fn parsed(wire: &str) -> ResponseParser {
    let mut parser = ResponseParser::new(Form::Cgi, 1024);
    assert_eq!(parser.feed(wire.as_bytes()), Ok(Some(wire.len())), "{wire:?}");
    parser
}

#[test]
fn a_plain_head() {
    let told = cgi("Content-Type: text/plain\r\nX-A:1\r\n\r\nbody\r\n\r\n").unwrap();
    let fields = vec![("Content-Type".into(), "text/plain".into()), ("X-A".into(), "1".into())];
    assert_eq!(told, Told { status: 200, reason: String::new(), fields, body: b"body\r\n\r\n".to_vec() });
}

#[test]
fn lines_end_with_lf_or_crlf() {
    let expected = cgi("A: 1\r\nB: 2\r\n\r\nx").unwrap();
    for wire in ["A: 1\nB: 2\n\nx", "A: 1\r\nB: 2\n\r\nx", "A: 1\nB: 2\r\n\nx"] {
        assert_eq!(cgi(wire).unwrap(), expected, "{wire:?}");
    }
}

#[test]
fn fields_keep_order_case_and_repetitions() {
    let told = cgi("Set-Cookie: a=1\nx-lower: v\nSet-Cookie: b=2\nSet-Cookie: a=1\n\n").unwrap();
    let fields: Vec<_> = told.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let cookies = [("Set-Cookie", "a=1"), ("x-lower", "v"), ("Set-Cookie", "b=2"), ("Set-Cookie", "a=1")];
    assert_eq!(fields, cookies);
}

#[test]
fn spaces_around_values_are_no_part_of_them() {
    for (wire, value) in [
        ("A:1\n\n", "1"),
        ("A: 1\n\n", "1"),
        ("A:\t 1 \t\r\n\n", "1"),
        ("A: a  b\tc \n\n", "a  b\tc"),
        ("A:\n\n", ""),
        ("A: \t \r\n\r\n", ""),
        ("A: :\n\n", ":"),
    ] {
        assert_eq!(cgi(wire).unwrap().fields, [("A".into(), value.into())], "{wire:?}");
    }
}

#[test]
fn bytes_beyond_ascii_stay_bytes() {
    let parser = {
        let mut parser = ResponseParser::new(Form::Cgi, 100);
        parser.feed(b"A: \xff\xe4\n\n").unwrap();
        parser
    };
    assert_eq!(parser.head().get(b"a"), Some(&b"\xff\xe4"[..]));
}

#[test]
fn statuses_of_every_form() {
    for (wire, code, reason) in [
        ("Status: 404 Not Found\n\n", 404, "Not Found"),
        ("Status: 404\n\n", 404, ""),
        ("Status:404  \n\n", 404, ""),
        ("sTATUS: 200 \tOK \r\n\r\n", 200, "OK"),
        ("A: 1\nStatus: 503 Try later\nB: 2\n\n", 503, "Try later"),
        ("HTTP/1.1 200 OK\r\n\r\n", 200, "OK"),
        ("HTTP/1.0 404\r\n\r\n", 404, ""),
        ("HTTP/1.0 404 \n\n", 404, ""),
        ("HTTP/1.1   201  Made  it\n\n", 201, "Made  it"),
        ("HTTP/2.0 200\n\n", 200, ""),
        ("HTTP/1.1 200 OK\nStatus: 200 Fine\n\n", 200, "Fine"),
        ("Status: 404 a\nStatus: 404 b\n\n", 404, "b"),
        ("Status: 999\n\n", 999, ""),
        ("Status: 404: Not Found\n\n", 404, ""),
        ("status:404:Not Found\r\n\r\n", 404, ""),
        ("Status: 404.1 \n\n", 404, ""),
        ("Status: 200OK\n\n", 200, ""),
        ("Status: 500;x\n\n", 500, ""),
        ("Status: 404 : Not Found\n\n", 404, ": Not Found"),
        ("Status: 404: a\nStatus: 404 b\n\n", 404, "b"),
        ("HTTP/1.1 404 a\nStatus: 404: b\n\n", 404, ""),
        ("Status: 100\n\n", 100, ""),
    ] {
        assert_eq!(status(wire), (code, reason.into()), "{wire:?}");
        assert!(parsed(wire).head().names_status());
        assert!(parsed(wire).head().get(b"status").is_none(), "Status is not forwarded");
    }
}

#[test]
fn statuses_of_no_form() {
    let refused = |wire: String| assert!(matches!(cgi(&wire), Err(ResponseError::Status(_))), "{wire:?}");
    for value in ["abc", "99", "1000", "20", "2 00", "-20", "+20", "0x1", "20x", "099", "000", "", "4040: a"]
    {
        refused(format!("Status: {value}\n\n"));
        refused(format!("HTTP/1.1 {value}\n\n"));
    }
    // Only of a field is it known that it is a status.
    for value in ["200OK", "404.1", "404: Not Found"] {
        refused(format!("HTTP/1.1 {value}\n\n"));
    }
    assert!(matches!(cgi("Status: 200 a\x01b\n\n"), Err(ResponseError::Value(..))));
    assert!(matches!(cgi("HTTP/1.1 200 a\x01b\n\n"), Err(ResponseError::Status(_))));
    assert_eq!(cgi("Status: 200\nStatus: 404\n\n"), Err(ResponseError::TwoStatuses(200, 404)));
    assert_eq!(cgi("HTTP/1.1 404 x\nStatus: 200\n\n"), Err(ResponseError::TwoStatuses(404, 200)));
}

#[test]
fn status_lines_of_no_form() {
    for line in [
        "HTTP/0.9 200 OK",
        "HTTP/1 200 OK",
        "HTTP/1. 200 OK",
        "HTTP/.1 200 OK",
        "HTTP/1.1",
        "HTTP/1.1\t200 OK",
        "HTTP/x.y 200 OK",
        "HTTP/1.1.1 200 OK",
        "HTTP/100.1 200 OK",
        "HTTP/ 200 OK",
        "HTTP/-1.1 200 OK",
        "HTTP/",
    ] {
        let refused = ResponseError::StatusLine(line.into());
        assert_eq!(cgi(&format!("{line}\r\n\r\n")), Err(refused), "{line}");
    }
    // Anywhere else than in front it is a line like any other, and no field.
    assert!(matches!(cgi("A: 1\nHTTP/1.1 200 OK\n\n"), Err(ResponseError::NoColon(_))));
    assert!(matches!(cgi("http/1.1 200 OK\n\n"), Err(ResponseError::NoColon(_))));
}

#[test]
fn without_status_it_is_200_or_302() {
    for (wire, code) in [
        ("\n", 200),
        ("\r\n", 200),
        ("Content-Type: a\n\n", 200),
        ("Location: http://a/\n\n", 302),
        ("Location: /a\n\n", 302),
        ("Location: a\n\n", 302),
        ("Location:\n\n", 302),
        ("Location: /a\nStatus: 201 Created\n\n", 201),
    ] {
        assert_eq!(
            status(wire),
            (code, if code == 201 { "Created".into() } else { String::new() }),
            "{wire:?}"
        );
        assert_eq!(parsed(wire).head().names_status(), code == 201);
    }
}

#[test]
fn location_has_three_forms() {
    for (wire, expected) in [
        ("A: 1\n\n", None),
        ("Location: /a?b\n\n", Some(Location::Local(b"/a?b"))),
        ("X-CGI-Note: 1\nlocation: /a\nx-cgi-b: 2\n\n", Some(Location::Local(b"/a"))),
        ("Location: /a\nContent-Type: text/html\n\n", Some(Location::Client(b"/a"))),
        ("Location: /a\nContent-Length: 0\n\n", Some(Location::Client(b"/a"))),
        ("Set-Cookie: a\nLocation: /a\n\n", Some(Location::Client(b"/a"))),
        ("Location: http://a/\n\n", Some(Location::Client(b"http://a/"))),
        ("Location: a/b\n\n", Some(Location::Client(b"a/b"))),
        ("Location:\n\n", Some(Location::Client(b""))),
        ("Status: 302 Found\nLocation: /a\n\n", Some(Location::WithStatus(b"/a"))),
        ("HTTP/1.1 302 Found\nLocation: http://a/\n\n", Some(Location::WithStatus(b"http://a/"))),
        ("Location: /a\nLocation: /b\n\n", Some(Location::Local(b"/a"))),
    ] {
        assert_eq!(parsed(wire).head().location(), expected, "{wire:?}");
    }
}

#[test]
fn lines_that_are_no_fields_are_refused() {
    type Expected = fn(&ResponseError) -> bool;
    let folded: Expected = |error| matches!(error, ResponseError::Folded(_));
    let no_colon: Expected = |error| matches!(error, ResponseError::NoColon(_));
    let name: Expected = |error| matches!(error, ResponseError::Name(_));
    let value: Expected = |error| matches!(error, ResponseError::Value(..));
    for (line, expected) in [
        (" folded", folded),
        ("\tfolded: 1", folded),
        (" A: 1", folded),
        (" ", folded),
        ("no colon", no_colon),
        ("\0", no_colon),
        ("\r", no_colon),
        (": 1", name),
        ("A : 1", name),
        ("A\t: 1", name),
        ("A B: 1", name),
        ("A\0: 1", name),
        ("\u{feff}A: 1", name),
        ("A(: 1", name),
        ("HTTP/1.1: 1", name),
        ("A: a\0b", value),
        ("A: a\rb", value),
        ("A: a\r", value),
        ("A: \x7f", value),
        ("A: \x1b[0m", value),
        ("A: \x0b", value),
    ] {
        // Ended by CRLF, so that a CR at the end of the line is one of its bytes.
        for wire in [format!("X: 1\r\n{line}\r\n\r\n"), format!("X: 1\r\n{line}\r\nB: 2\r\n\r\n")] {
            let error = cgi(&wire).unwrap_err();
            assert!(expected(&error), "{line:?}: {error}");
            assert_eq!(error.code().to_string(), "GW0704");
        }
    }
}

#[test]
fn every_byte_of_a_field_is_judged() {
    for byte in 0..=255u8 {
        let whole = |head: &[u8]| {
            let mut parser = ResponseParser::new(Form::Cgi, 100);
            parser.feed(head).is_ok_and(|end| end == Some(head.len())) && parser.head().fields().count() == 1
        };
        let name = [b"N", &[byte][..], b"N: v\n\n"].concat();
        assert_eq!(whole(&name), is_field_name(&[byte]) || byte == b':', "name {byte:#x}");
        let value = [b"N: v", &[byte][..], b"v\r\n\r\n"].concat();
        assert_eq!(whole(&value), is_field_value(&[byte]), "value {byte:#x}");
    }
}

#[test]
fn lengths_are_one_number() {
    assert_eq!(parsed("Content-Length: 12\ncontent-length: 12\n\n").head().content_length(), Some(12));
    assert_eq!(parsed("A: 1\n\n").head().content_length(), None);
    for wire in
        ["Content-Length: 1\nContent-Length: 2\n\n", "Content-Length: x\n\n", "Content-Length: 1, 1\n\n"]
    {
        assert!(matches!(cgi(wire), Err(ResponseError::ContentLength(_))), "{wire:?}");
    }
}

#[test]
fn interim_heads_come_before_the_final_one() {
    let wire = b"Status: 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103\n\nContent-Type: a\n\nbody";
    for size in 1..=wire.len() {
        let mut parser = ResponseParser::new(Form::Cgi, wire.len());
        let (mut seen, mut body) = (Vec::new(), Vec::new());
        for mut part in wire.chunks(size) {
            while let Some(used) = parser.feed(part).unwrap() {
                let head = parser.head();
                if !head.is_interim() {
                    body.extend_from_slice(&part[used..]);
                    break;
                }
                seen.push((head.status(), text(head.reason()), head.fields().count(), parser.raw().len()));
                parser.restart();
                part = &part[used..];
            }
        }
        assert_eq!(seen, [(103, "Early Hints".into(), 1, 39), (103, String::new(), 0, 14)], "{size}");
        assert_eq!((parser.head().status(), parser.head().fields().count()), (200, 1));
        assert_eq!(body, b"body");
    }
    // Nothing of an interim head is left in the next one.
    let mut parser = parsed("HTTP/1.1 103 Early\nLink: </a>\nContent-Length: 5\nLocation: /b\n\n");
    parser.restart();
    assert_eq!(parser.feed(b"Location: /a\n\n"), Ok(Some(14)));
    let head = parser.head();
    assert_eq!((head.status(), head.reason(), head.content_length()), (302, &b""[..], None));
    assert_eq!((head.location(), head.fields().count()), (Some(Location::Local(b"/a")), 1));
    for (code, interim) in [(100, true), (102, true), (103, true), (199, true), (200, false)] {
        assert_eq!(parsed(&format!("Status: {code}\n\n")).head().is_interim(), interim, "{code}");
    }
    // After 101 no head would follow, but another protocol.
    for wire in ["Status: 101\n\n", "HTTP/1.1 101 Switching Protocols\nUpgrade: x\n\nbytes"] {
        let mut parser = ResponseParser::new(Form::Cgi, 1000);
        assert_eq!(parser.feed(wire.as_bytes()), Err(ResponseError::Upgrade), "{wire}");
    }
}

#[test]
fn endless_interim_heads_reach_the_limit() {
    let mut parser = ResponseParser::new(Form::Cgi, 100);
    let mut fed = (0..100).map(|_| {
        let fed = parser.feed(b"Status: 103\n\n");
        parser.restart();
        fed
    });
    let heads = fed.by_ref().take_while(|fed| *fed == Ok(Some(13))).count();
    // `take_while` has eaten the refusal; it is the answer from then on.
    assert_eq!((heads, fed.next()), (7, Some(Err(ResponseError::TooLarge(100)))));
}

#[test]
fn the_limit_is_exact() {
    let wire = "A: 1\r\nB: 2\r\n\r\n";
    for limit in 0..20 {
        let expected = limit >= wire.len();
        let told = all_ways(Form::Cgi, limit, wire.as_bytes());
        assert_eq!(told.is_ok(), expected, "{limit}");
        if let Err(error) = told {
            assert_eq!(
                (&error, error.code().to_string()),
                (&ResponseError::TooLarge(limit), "GW0705".into())
            );
        }
    }
    // The body does not count.
    assert!(all_ways(Form::Cgi, wire.len(), format!("{wire}{wire}{wire}").as_bytes()).is_ok());
}

#[test]
fn endless_lines_reach_the_limit_and_no_memory_beyond() {
    let mut parser = ResponseParser::new(Form::Cgi, 10_000);
    let part = vec![b'a'; 999];
    let fed = (0..100).take_while(|_| parser.feed(&part) == Ok(None)).count();
    assert_eq!((fed, parser.raw().len()), (10, 9_990));
}

#[test]
fn a_head_that_ends_early_is_cut() {
    let wire = "HTTP/1.1 200 OK\r\nA: 1\r\n\r\n";
    for cut in 0..wire.len() {
        let error = cgi(&wire[..cut]).unwrap_err();
        assert_eq!((&error, error.code().to_string()), (&ResponseError::Cut(cut), "GW0703".into()));
    }
}

#[test]
fn after_the_end_nothing_is_taken() {
    let mut parser = parsed("A: 1\n\n");
    assert_eq!(parser.feed(b"B: 2\n\n"), Ok(Some(0)));
    assert_eq!(parser.raw(), b"A: 1\n\n");
}

#[test]
fn nph_needs_a_status_line() {
    let nph = |wire: &str| all_ways(Form::Nph, 1024, wire.as_bytes());
    let told = nph("HTTP/1.0 404 Not here\r\nServer: x\r\n\r\nbody").unwrap();
    assert_eq!((told.status, told.reason.as_str(), told.body.as_slice()), (404, "Not here", &b"body"[..]));
    for wire in ["Status: 200 OK\n\n", "\n", "\r\n\r\n", "Content-Type: a\n\n", " HTTP/1.1 200 OK\n\n"] {
        assert!(matches!(nph(wire), Err(ResponseError::StatusLine(_))), "{wire:?}");
    }
}

#[test]
fn errors_quote_a_part_of_a_long_line() {
    let mut parser = ResponseParser::new(Form::Cgi, 100_000);
    let error = parser.feed(&[&[b'x'; 50_000][..], b"\x1b\n"].concat()).unwrap_err();
    assert_eq!(error.to_string(), format!("the line \"{}...\" has no colon", "x".repeat(200)));
    let error = cgi("a\x1bb\n\n").unwrap_err();
    assert_eq!(error.to_string(), "the line \"a\\x1bb\" has no colon");
}

proptest::proptest! {
    /// A head of good fields is read as it was written.
    #[test]
    fn heads_round_trip(
        // 101 is refused.
        code in proptest::option::of((100u16..=999).prop_filter("an upgrade", |code| *code != 101)),
        fields in proptest::collection::vec(("[A-Za-z0-9_!.~-]{1,12}", "([!-~]([ -~\t]{0,30}[!-~])?)?"), 0..10),
        crlf: bool,
        parts in 1usize..50,
    ) {
        // Those have rules of their own.
        let own = ["status", "location", "content-length"];
        let fields: Vec<_> =
            fields.into_iter().filter(|(name, _)| !own.contains(&name.to_ascii_lowercase().as_str())).collect();
        let end = if crlf { "\r\n" } else { "\n" };
        let mut wire = code.map(|code| format!("Status: {code} reason{end}")).unwrap_or_default();
        for (name, value) in &fields {
            wire += &format!("{name}: {value}{end}");
        }
        wire += end;
        wire += "body";
        let told = run(ResponseParser::new(Form::Cgi, wire.len()), wire.as_bytes().chunks(parts)).unwrap();
        proptest::prop_assert_eq!(told.status, code.unwrap_or(200));
        proptest::prop_assert_eq!(told.fields, fields);
        proptest::prop_assert_eq!(told.body, b"body");
    }
}
