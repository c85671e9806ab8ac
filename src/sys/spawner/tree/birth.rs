// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the keeper and a template say to each other.

use super::parts::{Composer, Parts};

const BIRTH: u64 = 0x40;
const LOADED: u64 = 0x50;
const NOT_LOADED: u64 = 0x51;
const BORN: u64 = 0x52;
const NOT_BORN: u64 = 0x53;

/// The longest reason for an application that cannot be loaded.
const LONGEST_REASON: usize = 2048;

/// A process that a template is to make.
pub(super) struct Birth {
    pub(super) number: u64,
}

impl Birth {
    pub(super) fn encode(&self) -> Vec<u8> {
        Composer::default().number(BIRTH).number(self.number).finish()
    }

    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let mut reader = Parts::new(message);
        (reader.number()? == BIRTH).then(|| reader.number())?.map(|number| Self { number })
    }
}

/// What is heard on a template's socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TemplateMessage<'m> {
    /// From the template: the application is loaded.
    Loaded,
    /// It cannot be.
    NotLoaded(&'m [u8]),
    /// From the process of this number itself.
    Born(u64),
    /// From the template: it could not be made, for this error.
    NotBorn(u64, i32),
}

impl<'m> TemplateMessage<'m> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let composer = Composer::default();
        match *self {
            Self::Loaded => composer.number(LOADED),
            Self::NotLoaded(reason) => {
                composer.number(NOT_LOADED).bytes(reason.get(..LONGEST_REASON).unwrap_or(reason))
            }
            Self::Born(number) => composer.number(BORN).number(number),
            Self::NotBorn(number, errno) => composer.number(NOT_BORN).number(number).number(errno as u64),
        }
        .finish()
    }

    pub(super) fn decode(message: &'m [u8]) -> Option<Self> {
        let mut reader = Parts::new(message);
        Some(match reader.number()? {
            LOADED => Self::Loaded,
            NOT_LOADED => {
                let reason = reader.bytes()?;
                Self::NotLoaded(reason.get(..LONGEST_REASON).unwrap_or(reason))
            }
            BORN => Self::Born(reader.number()?),
            NOT_BORN => Self::NotBorn(reader.number()?, reader.small()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_templates_hear_and_say_round_trips() {
        for message in [
            TemplateMessage::Loaded,
            TemplateMessage::NotLoaded(b"why"),
            TemplateMessage::Born(7),
            TemplateMessage::NotBorn(7, libc::EAGAIN),
        ] {
            let bytes = message.encode();
            assert_eq!(TemplateMessage::decode(&bytes), Some(message));
            assert!((0..bytes.len()).all(|cut| TemplateMessage::decode(&bytes[..cut]).is_none()));
        }
        let long = [b'x'; LONGEST_REASON + 1];
        let message = Composer::default().number(NOT_LOADED).bytes(&long).finish();
        assert_eq!(TemplateMessage::decode(&message), Some(TemplateMessage::NotLoaded(&long[1..])));
        let message = Birth { number: 5 }.encode();
        assert_eq!(Birth::decode(&message).map(|birth| birth.number), Some(5));
        assert!((0..message.len()).all(|cut| Birth::decode(&message[..cut]).is_none()));
    }
}
