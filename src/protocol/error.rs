// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is wrong with a request that cannot be sent, or with a response that cannot be understood.

use crate::error::{BACKEND_BROKE, BACKEND_CUT, BACKEND_REFUSED, CANNOT_ENCODE, Code};

/// Why a request cannot be expressed in a protocol. Names are escaped for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A name or a value is longer than its length field can say.
    #[error("a {what} of {length} bytes is longer than the {limit} that {protocol} can express")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// The protocol.
        protocol: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The most that is possible, in bytes.
        limit: usize,
    },
    /// SCGI ends names and values with NUL.
    #[error("the variable \"{0}\" holds a NUL byte, which SCGI cannot express")]
    Nul(String),
    /// SCGI has no empty names.
    #[error("a variable without a name cannot be expressed in SCGI")]
    NoName,
    /// SCGI needs CONTENT_LENGTH as a decimal number.
    #[error("CONTENT_LENGTH \"{0}\" is not a decimal number")]
    ContentLength(String),
}

impl EncodeError {
    /// The log code.
    #[must_use]
    pub fn code(&self) -> Code {
        CANNOT_ENCODE
    }

    /// The status for the client: RFC 6585 §5 when its headers are too large, else 500.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLong { .. } => 431,
            Self::Nul(_) | Self::NoName | Self::ContentLength(_) => 500,
        }
    }
}

/// How a peer broke its protocol. The sections are those of the FastCGI specification 1.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the version of section 8.
    #[error("the backend sent a FastCGI record of version {0} instead of 1")]
    Version(u8),
    /// Not a record that an application may send during a request.
    #[error("the backend sent a FastCGI record of type {0}, which does not belong into a response")]
    Type(u8),
    /// A record of another request than ours.
    #[error("the backend sent a FastCGI record for request {0} instead of 1")]
    RequestId(u16),
    /// FCGI_END_REQUEST whose body is not that of section 5.5.
    #[error("the backend ended the request with a FastCGI record of {0} bytes instead of 8")]
    EndLength(u16),
    /// FCGI_END_REQUEST with another protocol status than FCGI_REQUEST_COMPLETE.
    #[error("the backend {0}")]
    Refused(ProtocolStatus),
    /// FCGI_STDOUT after the end of that stream.
    #[error("the backend sent {0} bytes of output after the end of its output")]
    OutputAfterEnd(u16),
    /// Bytes after FCGI_END_REQUEST.
    #[error("the backend sent more after the end of the request")]
    AfterEnd,
    /// The connection was closed too early.
    #[error("the backend closed the connection before the end of its response")]
    Cut,
}

impl DecodeError {
    /// The log code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(_) => BACKEND_REFUSED,
            Self::Cut => BACKEND_CUT,
            Self::Version(_)
            | Self::Type(_)
            | Self::RequestId(_)
            | Self::EndLength(_)
            | Self::OutputAfterEnd(_)
            | Self::AfterEnd => BACKEND_BROKE,
        }
    }
}

/// A protocol status of FCGI_END_REQUEST that is not success (section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolStatus {
    /// FCGI_CANT_MPX_CONN.
    #[error("refused the request: it takes one request per connection (FCGI_CANT_MPX_CONN)")]
    CannotMultiplex,
    /// FCGI_OVERLOADED: another backend, or a later time, may help.
    #[error("refused the request: it is overloaded (FCGI_OVERLOADED)")]
    Overloaded,
    /// FCGI_UNKNOWN_ROLE.
    #[error("refused the request: it does not play this role (FCGI_UNKNOWN_ROLE)")]
    UnknownRole,
    /// A number without a meaning.
    #[error("ended the request with the unknown FastCGI protocol status {0}")]
    Other(u8),
}

/// How a web server broke the protocol towards an application. The sections are those of the FastCGI specification 1.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not the version of section 8.
    #[error("the web server sent a FastCGI record of version {0} instead of 1")]
    Version(u8),
    /// A record that only an application sends, or one that there is not (section 8).
    #[error("the web server sent a FastCGI record of type {0}, which does not belong into a request")]
    Type(u8),
    /// FCGI_BEGIN_REQUEST whose body is not that of section 5.1.
    #[error("the web server began a request with a FastCGI record of {0} bytes instead of 8")]
    BeginLength(u16),
    /// FCGI_BEGIN_REQUEST with the number of a request that has not ended.
    #[error("the web server began request {0} a second time")]
    Twice(u16),
    /// A record of a stream that has ended, or of one whose turn has not come (section 6.2).
    #[error("the web server sent a FastCGI record of type {0} out of order in request {1}")]
    Order(u8, u16),
}
