// SPDX-License-Identifier: MIT OR Apache-2.0
//! The records of a response.

use super::{END_REQUEST, REQUEST, STDERR, STDOUT, VERSION};
use crate::{
    protocol::{DecodeError, EndStatus, ProtocolStatus, ResponseEvent},
    wire::{Gather, Reader},
};

/// The state of one response: no buffer but the parts of a record's header, or of the body of the last one.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct RecordDecoder {
    place: RecordPlace,
    gather: Gather<8>,
    /// Bytes of the record's content that are still to come.
    content: u16,
    /// Bytes of its padding that are still to come.
    padding: u8,
    output_ended: bool,
    end: Option<EndStatus>,
    failed: Option<DecodeError>,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordPlace {
    Header,
    Output,
    Errors,
    EndBody,
    Padding,
    EndPadding,
    /// After FCGI_END_REQUEST: there is none.
    Ended,
}

impl RecordDecoder {
    pub(super) const NEW: Self = Self {
        place: RecordPlace::Header,
        gather: Gather::EMPTY,
        content: 0,
        padding: 0,
        output_ended: false,
        end: None,
        failed: None,
    };

    pub(in crate::protocol) fn decode<'i>(
        &mut self,
        input: &'i [u8],
    ) -> Result<(usize, ResponseEvent<'i>), DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut reader = Reader::new(input);
        loop {
            match self.step(&mut reader) {
                Ok(Some(event)) => return Ok((input.len().saturating_sub(reader.len()), event)),
                Ok(None) => {}
                Err(error) => {
                    self.failed = Some(error);
                    return Err(error);
                }
            }
        }
    }

    /// One part of a record. `None`: there is nothing to tell, but there may be more to take.
    fn step<'i>(&mut self, reader: &mut Reader<'i>) -> Result<Option<ResponseEvent<'i>>, DecodeError> {
        if reader.is_empty() && !matches!(self.place, RecordPlace::EndPadding) {
            return Ok(Some(ResponseEvent::More));
        }
        match self.place {
            RecordPlace::Header => match self.gather.fill(reader) {
                Some(header) => self.begin_record(header),
                None => Ok(Some(ResponseEvent::More)),
            },
            RecordPlace::Output => Ok(Some(ResponseEvent::Output(self.take_content(reader)))),
            RecordPlace::Errors => Ok(Some(ResponseEvent::Errors(self.take_content(reader)))),
            RecordPlace::EndBody => match self.gather.fill(reader) {
                Some(body) => {
                    self.end = Some(end_status(body)?);
                    self.place = RecordPlace::EndPadding;
                    Ok(None)
                }
                None => Ok(Some(ResponseEvent::More)),
            },
            RecordPlace::Padding => {
                self.skip_padding(reader);
                Ok(None)
            }
            RecordPlace::EndPadding => Ok(Some(self.close(reader))),
            RecordPlace::Ended => Err(DecodeError::AfterEnd),
        }
    }

    /// §3.3, §3.5: what may stand in a response is decided by the header alone.
    fn begin_record<'i>(&mut self, header: [u8; 8]) -> Result<Option<ResponseEvent<'i>>, DecodeError> {
        let [version, kind, id_high, id_low, high, low, padding, _reserved] = header;
        let (id, content) = (u16::from_be_bytes([id_high, id_low]), u16::from_be_bytes([high, low]));
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        // Management records (id 0, §4) answer questions, and a connection with a request on it asks none.
        if !matches!(kind, STDOUT | STDERR | END_REQUEST) {
            return Err(DecodeError::Type(kind));
        }
        if id != REQUEST {
            return Err(DecodeError::RequestId(id));
        }
        (self.content, self.padding) = (content, padding);
        match kind {
            END_REQUEST if content != 8 => Err(DecodeError::EndLength(content)),
            END_REQUEST => {
                self.place = RecordPlace::EndBody;
                Ok(None)
            }
            STDOUT if content > 0 && self.output_ended => Err(DecodeError::OutputAfterEnd(content)),
            STDOUT if content > 0 => {
                self.place = RecordPlace::Output;
                Ok(None)
            }
            STDERR if content > 0 => {
                self.place = RecordPlace::Errors;
                Ok(None)
            }
            _ => Ok(self.end_stream(kind)),
        }
    }

    /// §3.3: a stream ends with an empty record. The end of FCGI_STDERR tells nothing.
    fn end_stream<'i>(&mut self, kind: u8) -> Option<ResponseEvent<'i>> {
        self.after_content();
        if kind != STDOUT || self.output_ended {
            return None;
        }
        self.output_ended = true;
        Some(ResponseEvent::OutputEnd)
    }

    fn take_content<'i>(&mut self, reader: &mut Reader<'i>) -> &'i [u8] {
        let bytes = reader.take_up_to(usize::from(self.content));
        // Never more than `content`, which has 16 bits.
        self.content = self.content.saturating_sub(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
        if self.content == 0 {
            self.after_content();
            self.skip_padding(reader);
        }
        bytes
    }

    fn after_content(&mut self) {
        self.place = if self.padding > 0 { RecordPlace::Padding } else { RecordPlace::Header };
    }

    fn skip_padding(&mut self, reader: &mut Reader<'_>) {
        let skipped = reader.take_up_to(usize::from(self.padding));
        self.padding = self.padding.saturating_sub(u8::try_from(skipped.len()).unwrap_or(u8::MAX));
        if self.padding == 0 && self.place == RecordPlace::Padding {
            self.place = RecordPlace::Header;
        }
    }

    /// The padding of the last record belongs to the request: the connection is clean only behind it.
    fn close<'i>(&mut self, reader: &mut Reader<'i>) -> ResponseEvent<'i> {
        self.skip_padding(reader);
        match self.end {
            Some(status) if self.padding == 0 => {
                self.place = RecordPlace::Ended;
                ResponseEvent::End(status)
            }
            _ => ResponseEvent::More,
        }
    }

    /// Takes `count` bytes if they are content of FCGI_STDOUT and nothing else.
    #[inline]
    pub(in crate::protocol) fn pass(&mut self, count: usize) -> bool {
        let left = usize::from(self.content).checked_sub(count).and_then(|left| u16::try_from(left).ok());
        let Some(left) = left.filter(|_| self.place == RecordPlace::Output && self.failed.is_none()) else {
            return false;
        };
        self.content = left;
        if left == 0 {
            self.after_content();
        }
        true
    }

    pub(in crate::protocol) fn finish(&self) -> Result<(), DecodeError> {
        match self.failed {
            Some(error) => Err(error),
            // Either says that no output is missing.
            None if self.end.is_some() || self.output_ended => Ok(()),
            None => Err(DecodeError::Cut),
        }
    }

    pub(in crate::protocol) fn ended(&self) -> bool {
        self.place == RecordPlace::Ended && self.failed.is_none()
    }

    pub(in crate::protocol) fn wanted(&self) -> u16 {
        match self.place {
            RecordPlace::Output | RecordPlace::Errors => self.content,
            RecordPlace::Padding | RecordPlace::EndPadding => u16::from(self.padding).max(1),
            RecordPlace::Header | RecordPlace::EndBody | RecordPlace::Ended => 1,
        }
    }
}

/// §5.5: appStatus, protocolStatus, and three reserved bytes.
fn end_status(body: [u8; 8]) -> Result<EndStatus, DecodeError> {
    let [a, b, c, d, protocol, ..] = body;
    let refused = match protocol {
        0 => return Ok(EndStatus { application: u32::from_be_bytes([a, b, c, d]) }),
        1 => ProtocolStatus::CannotMultiplex,
        2 => ProtocolStatus::Overloaded,
        3 => ProtocolStatus::UnknownRole,
        other => ProtocolStatus::Other(other),
    };
    Err(DecodeError::Refused(refused))
}
