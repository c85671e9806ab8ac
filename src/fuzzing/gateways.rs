// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must hold for the gateway protocols, response heads and scripts.

use super::{PART, pairs, parts, reference};
use crate::{
    cgi::{
        Form, Location, ResponseError, ResponseHead, ResponseParser,
        script::{Entry, Resolution, resolve},
    },
    http::{Fields, Layout, is_field_name, is_field_value},
    protocol::{
        DecodeError, EncodeError, FastCgi, Protocol, ProtocolStatus, ResponseEvent, Role, Scgi, Settings,
        Uwsgi, fastcgi,
    },
};

/// The same bytes in parts of several sizes, that of the last way depends on the bytes.
pub(super) fn ways(data: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let any = data.iter().fold(7usize, |hash, byte| hash.wrapping_mul(31) ^ usize::from(*byte));
    [usize::MAX, 1, 2 + any % 29].into_iter().map(|size| data.chunks(size).collect())
}

/// What came of a response that was read as an adapter does.
#[derive(Debug, Default, PartialEq)]
struct Response {
    heads: Vec<(u16, Vec<u8>)>,
    body: Vec<u8>,
    output: Vec<u8>,
    errors: Vec<u8>,
    output_ended: bool,
    end: Option<u32>,
    wire: Option<DecodeError>,
    head: Option<ResponseError>,
    /// Whether the connection can carry another request.
    clean: bool,
}

fn answer(protocol: &dyn Protocol, parts: &[&[u8]]) -> Response {
    let (mut decoder, mut parser) = (protocol.decoder(), ResponseParser::new(Form::Cgi, 200));
    let mut answer = Response::default();
    for part in parts {
        let mut rest = *part;
        loop {
            assert!(decoder.wanted() != Some(0));
            match decoder.decode(rest) {
                Ok((used, ResponseEvent::More)) => {
                    assert_eq!(used, rest.len());
                    break;
                }
                Ok((used, event)) => {
                    rest = rest.get(used..).unwrap_or_default();
                    answer.take(event, &mut parser);
                }
                Err(error) => {
                    assert_eq!(decoder.decode(rest), Err(error));
                    assert!(!decoder.ended());
                    answer.wire = Some(error);
                    return answer;
                }
            }
        }
    }
    answer.wire = decoder.finish().err();
    answer.clean = decoder.ended();
    answer
}

impl Response {
    fn take(&mut self, event: ResponseEvent<'_>, parser: &mut ResponseParser) {
        match event {
            ResponseEvent::More => {}
            ResponseEvent::Output(bytes) => {
                assert!(!bytes.is_empty() && !self.output_ended && self.end.is_none());
                self.output.extend_from_slice(bytes);
                self.read(bytes, parser);
            }
            ResponseEvent::Errors(bytes) => {
                assert!(!bytes.is_empty() && self.end.is_none());
                self.errors.extend_from_slice(bytes);
            }
            ResponseEvent::OutputEnd => {
                assert!(!self.output_ended && self.end.is_none());
                self.output_ended = true;
            }
            ResponseEvent::End(status) => {
                assert!(self.end.is_none());
                self.end = Some(status.application);
            }
        }
    }

    fn read(&mut self, mut bytes: &[u8], parser: &mut ResponseParser) {
        while self.head.is_none() {
            match parser.feed(bytes) {
                Ok(None) => break,
                Ok(Some(used)) => {
                    bytes = bytes.get(used..).unwrap_or_default();
                    let head = parser.head();
                    if !head.is_interim() {
                        // After the head nothing more is taken, so this is the body.
                        if self.heads.last().is_none_or(|(status, _)| (100..200).contains(status)) {
                            self.heads.push((head.status(), parser.raw().to_vec()));
                        }
                        self.body.extend_from_slice(bytes);
                        break;
                    }
                    self.heads.push((head.status(), parser.raw().to_vec()));
                    parser.restart();
                }
                Err(error) => self.head = Some(error),
            }
        }
    }
}

/// A response over FastCGI, against a second reading of the specification.
///
/// # Panics
/// When the two differ, or the parts in which the bytes come make a difference.
pub fn fastcgi_response(data: &[u8]) {
    let expected = fastcgi_by_hand(data);
    let first = answer(&FastCgi, &[data]);
    for way in ways(data) {
        let answer = answer(&FastCgi, &way);
        assert_eq!(answer, first);
        assert_eq!(answer.output, expected.output);
        assert_eq!(answer.errors, expected.errors);
        assert_eq!((answer.end, answer.wire), (expected.end, expected.wire));
        assert_eq!((answer.output_ended, answer.clean), (expected.output_ended, expected.clean));
    }
    if let Ok(Some(mut values)) = fastcgi::Values::decode(data) {
        assert!((8..=data.len()).contains(&values.used));
        let read: usize = values.pairs.by_ref().map(|(name, value)| name.len() + value.len() + 2).sum();
        assert!(read + values.pairs.rest() <= values.used);
    }
}

fn fastcgi_by_hand(data: &[u8]) -> Response {
    let mut answer = Response { wire: Some(DecodeError::Cut), ..Response::default() };
    let mut rest = data;
    while !rest.is_empty() {
        if answer.clean {
            (answer.wire, answer.clean) = (Some(DecodeError::AfterEnd), false);
            break;
        }
        let &[version, kind, high, low, c, d, padding, _, ref content @ ..] = rest else { break };
        let (id, length) = (u16::from(high) * 256 + u16::from(low), u16::from(c) * 256 + u16::from(d));
        let wrong = match (version, kind, id, length) {
            (0 | 2.., ..) => Some(DecodeError::Version(version)),
            (_, 0..=2 | 4..=5 | 8.., ..) => Some(DecodeError::Type(kind)),
            (_, _, 0 | 2.., _) => Some(DecodeError::RequestId(id)),
            (_, 3, _, 0..=7 | 9..) => Some(DecodeError::EndLength(length)),
            (_, 6, _, 1..) if answer.output_ended => Some(DecodeError::OutputAfterEnd(length)),
            _ => None,
        };
        if wrong.is_some() {
            answer.wire = wrong;
            break;
        }
        let (content, after) = content.split_at(content.len().min(usize::from(length)));
        let whole = after.len() >= usize::from(padding) && content.len() == usize::from(length);
        match kind {
            6 if length == 0 => (answer.output_ended, answer.wire) = (true, None),
            6 => answer.output.extend_from_slice(content),
            7 => answer.errors.extend_from_slice(content),
            _ => answer.end_by_hand(content, whole),
        }
        if answer.wire.is_some_and(|error| error != DecodeError::Cut) {
            break;
        }
        rest = after.get(usize::from(padding)..).unwrap_or_default();
    }
    answer
}

impl Response {
    fn end_by_hand(&mut self, content: &[u8], whole: bool) {
        let &[a, b, c, d, status, ..] = content else { return };
        if content.len() < 8 {
            return;
        }
        self.wire = match status {
            0 => None,
            1 => Some(DecodeError::Refused(ProtocolStatus::CannotMultiplex)),
            2 => Some(DecodeError::Refused(ProtocolStatus::Overloaded)),
            3 => Some(DecodeError::Refused(ProtocolStatus::UnknownRole)),
            other => Some(DecodeError::Refused(ProtocolStatus::Other(other))),
        };
        if whole && status == 0 {
            (self.end, self.clean) = (Some(u32::from_be_bytes([a, b, c, d])), true);
        }
    }
}

/// A response over SCGI and uwsgi: heads, then a body up to the end of the connection.
///
/// # Panics
/// When bytes are lost, or the protocol or the parts in which they come make a difference.
pub fn scgi_uwsgi_response(data: &[u8]) {
    let first = answer(&Scgi, &[data]);
    assert!(first.output == data && first.errors.is_empty() && first.wire.is_none() && !first.clean);
    if first.head.is_none() {
        let read: Vec<u8> = first.heads.iter().flat_map(|(_, raw)| raw.iter().copied()).collect();
        let whole = first.heads.last().is_some_and(|(status, _)| !(100..200).contains(status));
        assert!(data.starts_with(&read));
        assert_eq!(first.body, if whole { data.get(read.len()..).unwrap_or_default() } else { &[] });
    }
    for way in ways(data) {
        assert_eq!(answer(&Scgi, &way), first);
        assert_eq!(answer(&Uwsgi, &way), first);
    }
}

/// A byte of limit, then a response head, as CGI and as NPH.
///
/// # Panics
/// When a head passes that must not be forwarded, a good one is refused, or the parts make a difference.
pub fn cgi_response(data: &[u8]) {
    let Some((limit, data)) = data.split_first() else { return };
    let limit = usize::from(*limit) * 4;
    for form in [Form::Cgi, Form::Nph] {
        let read = |parts: &[&[u8]]| {
            let mut parser = ResponseParser::new(form, limit);
            let mut before = 0;
            for part in parts {
                match parser.feed(part) {
                    Ok(None) => before += part.len(),
                    Ok(Some(used)) => return (Ok(Some(before + used)), parser),
                    Err(error) => return (Err(error), parser),
                }
            }
            (Ok(None), parser)
        };
        let (first, parser) = read(&[data]);
        for way in ways(data) {
            assert_eq!(read(&way).0, first);
        }
        match first {
            Ok(Some(end)) => judge_head(&parser, form, data.get(..end).unwrap_or_default(), limit),
            Ok(None) => assert!(data.len() <= limit && parser.raw() == data && parser.finish().is_err()),
            Err(ResponseError::TooLarge(_)) => assert!(data.len() > limit),
            Err(_) => assert!(!data.is_empty() && !is_plainly_good(data)),
        }
    }
}

fn judge_head(parser: &ResponseParser, form: Form, wire: &[u8], limit: usize) {
    let head = parser.head();
    assert!(parser.raw() == wire && wire.len() <= limit && wire.ends_with(b"\n"));
    assert!((100..=999).contains(&head.status()) && is_field_value(head.reason()));
    assert!(form == Form::Cgi || wire.starts_with(b"HTTP/"));
    judge_status(head, wire);
    let mut lengths = Vec::new();
    for (name, value) in head.fields() {
        assert!(is_field_name(name) && is_field_value(value) && !name.eq_ignore_ascii_case(b"status"));
        assert!(!value.starts_with(b" ") && !value.ends_with(b" "));
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths.push(value);
        }
    }
    let number = |text: &&[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    assert!(lengths.iter().all(|text| number(text) == head.content_length() && number(text).is_some()));
    // Every line is a field, a status, or the blank one.
    let lines = wire.iter().filter(|byte| **byte == b'\n').count();
    assert!(head.fields().count() < lines && !wire.windows(2).any(|two| two == b"\n "));
    if let Some(Location::Local(path)) = head.location() {
        assert!(path.starts_with(b"/") && head.status() == 302 && head.reason().is_empty());
    }
}

/// The last Status counts, read a second time: its number, and a reason only behind a space.
fn judge_status(head: ResponseHead<'_>, wire: &[u8]) {
    let field = |line: &[u8]| {
        let (name, value) = line.split_at_checked(7)?;
        name.eq_ignore_ascii_case(b"status:").then(|| value.trim_ascii().to_vec())
    };
    let Some(value) = wire.split(|byte| *byte == b'\n').filter_map(field).next_back() else { return };
    let (number, rest) = value.split_at(3);
    assert_eq!(std::str::from_utf8(number).ok().and_then(|text| text.parse().ok()), Some(head.status()));
    let reason = if rest.starts_with(b" ") || rest.starts_with(b"\t") { rest } else { b"" };
    assert_eq!(head.reason(), reason.trim_ascii());
}

/// Lines `letters: letters`, none of them with a meaning.
fn is_plainly_good(head: &[u8]) -> bool {
    let good = |line: &[u8]| {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
        let (name, value) = line.split_at(colon);
        let own = [&b"status"[..], b"content-length"].iter().any(|own| name.eq_ignore_ascii_case(own));
        !name.is_empty() && name.iter().all(u8::is_ascii_alphabetic) && is_field_value(value) && !own
    };
    // NPH wants a status line.
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status = lines.clone().next() == Some(b"HTTP/1.1 200 OK");
    status && lines.by_ref().skip(1).take_while(|line| !line.is_empty()).all(good)
}

/// A request in all three protocols, read by decoders that were written a second time. The first part has flags, the
/// modifiers and how often each value is repeated, the others are variables.
///
/// # Panics
/// When something else arrives than was sent, or a request is refused without a cause.
pub fn request(data: &[u8]) {
    let mut own = parts(data).next().unwrap_or_default().iter().copied();
    let mut next = || own.next().unwrap_or_default();
    let (flags, modifier1, modifier2, repeat) = (next(), next(), next(), usize::from(next()).max(1));
    let role = if flags & 2 == 0 { Role::Responder } else { Role::Authorizer };
    let settings = Settings { keep_connection: flags & 1 != 0, role, modifier1, modifier2, string: &[] };
    let rest = data.iter().position(|byte| *byte == PART).and_then(|at| data.get(at + 1..));
    let all: Vec<reference::NameValue> = rest
        .map(pairs)
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| (name.to_vec(), value.repeat(repeat)))
        .collect();
    let encode = |protocol: &dyn Protocol| encode_all(protocol, &settings, &all);
    check_fastcgi(&settings, &all, encode(&FastCgi));
    check_scgi(&all, encode(&Scgi));
    match encode(&Uwsgi) {
        Ok(wire) => assert!(reference::uwsgi_head(&wire) == (modifier1, modifier2, all)),
        Err(_) => {
            assert!(all.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() > 65_535)
        }
    }
}

/// The head of a request, from lists of all layouts.
///
/// # Panics
/// When they are not the same, or something is left of what was refused.
pub(crate) fn encode_all(
    protocol: &dyn Protocol,
    settings: &Settings<'_>,
    pairs: &[reference::NameValue],
) -> Result<Vec<u8>, EncodeError> {
    let results = [Layout::Terminated, Layout::FastCgi, Layout::Uwsgi].map(|layout| {
        [false, true].map(|is_scattered| {
            let mut variables = Fields::default();
            variables.begin(layout);
            pairs.iter().for_each(|(name, value)| variables.push(name, value));
            if let Some((_, value)) = pairs.first().filter(|_| is_scattered) {
                variables.replace(0, value);
            }
            let mut out = b"before".to_vec();
            let result = protocol.encode_head(settings, &variables, &mut out);
            let rest = out.split_off(6);
            assert!(out == b"before" && (result.is_ok() || rest.is_empty()), "all or nothing");
            result.map(|()| rest)
        })
    });
    let [[first, _], ..] = &results;
    assert!(results.iter().flatten().all(|result| result == first));
    first.clone()
}

fn check_fastcgi(settings: &Settings<'_>, all: &[reference::NameValue], wire: Result<Vec<u8>, EncodeError>) {
    let Ok(wire) = wire else { panic!("FastCGI can carry anything") };
    let (role, flags, received) = reference::fastcgi_head(&wire);
    assert_eq!(flags, u8::from(settings.keep_connection));
    if settings.role == Role::Responder {
        assert!(role == 1 && received == all);
    } else {
        assert!(role == 2 && received.iter().all(|pair| all.contains(pair)));
    }
}

fn check_scgi(all: &[reference::NameValue], wire: Result<Vec<u8>, EncodeError>) {
    match wire {
        Ok(wire) => {
            let received = reference::scgi_head(&wire);
            assert!(received.first().is_some_and(|(name, _)| name == b"CONTENT_LENGTH"));
            assert!(received.iter().filter(|(name, _)| name == b"SCGI").count() == 1);
            let own = |name: &[u8]| name == b"CONTENT_LENGTH" || name == b"SCGI";
            assert!(received.iter().skip(2).eq(all.iter().filter(|(name, _)| !own(name))));
        }
        Err(EncodeError::NoName) => assert!(all.iter().any(|(name, _)| name.is_empty())),
        Err(EncodeError::Nul(_)) => {
            assert!(all.iter().any(|(name, value)| name.contains(&0) || value.contains(&0)));
        }
        Err(error) => assert!(matches!(error, EncodeError::ContentLength(_))),
    }
}

/// A path, then the files below the root.
///
/// # Panics
/// When something else than the first existing file with such a name is a script.
pub fn script(data: &[u8]) {
    let mut all = parts(data);
    let path = all.next().unwrap_or_default();
    let files: Vec<&[u8]> = all.collect();
    let is_directory = |path: &[u8]| {
        files.iter().any(|file| file.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/")))
    };
    let mut looked = 0;
    let found = resolve(path, &[&b"php"[..], b"phar"], |path| {
        looked += 1;
        match (files.contains(&path), is_directory(path)) {
            (true, _) => Entry::File,
            (false, true) => Entry::Directory,
            (false, false) => Entry::Nothing,
        }
    });
    let named = |segment: &[u8]| segment.ends_with(b".php") || segment.ends_with(b".phar");
    match found {
        Resolution::Script { script_name, path_info } => {
            assert_eq!([script_name, path_info].concat(), path);
            assert!(files.contains(&script_name) && named(script_name) && !script_name.contains(&0));
            assert!(path_info.is_empty() || path_info.starts_with(b"/"));
        }
        Resolution::NotScript => assert!(looked == 0 && !path.split(|byte| *byte == b'/').any(named)),
        Resolution::NotFound => {
            let odd = path.contains(&0) || path.windows(2).any(|two| two == b"..");
            assert!(odd || path.split(|byte| *byte == b'/').any(named));
        }
    }
}
