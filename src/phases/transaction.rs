// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request on its way through the phases of a server, as an adapter gives it to handlers.

use std::os::fd::OwnedFd;

use gangway_abi::ffi as abi;

use super::{Handler, PhaseAnswer, RequestPhase};
use crate::{exchange::Stop, log::Level};

/// The answer to a wish of a handler's.
///
/// # Errors
/// [`Stop::Invalid`] unless it is possible.
pub fn possible(is_possible: bool) -> Result<(), Stop> {
    if is_possible { Ok(()) } else { Err(Stop::Invalid) }
}

/// Things of a transaction that have a number in the ABI.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($member:ident = $number:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "gangway.h says what each is")]
        pub enum $name {
            $($member,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$member,)*];

            /// The one with this number.
            #[must_use]
            pub fn from_abi(number: u32) -> Option<Self> {
                match number {
                    $(abi::$number => Some(Self::$member),)*
                    _ => None,
                }
            }
        }
    };
}

numbered! {
    /// A text of a transaction.
    Fact {
        Method = GW_FACT_METHOD,
        Uri = GW_FACT_URI,
        UnparsedUri = GW_FACT_UNPARSED_URI,
        Filename = GW_FACT_FILENAME,
        CanonicalFilename = GW_FACT_CANONICAL_FILENAME,
        PathInfo = GW_FACT_PATH_INFO,
        Args = GW_FACT_ARGS,
        Protocol = GW_FACT_PROTOCOL,
        Hostname = GW_FACT_HOSTNAME,
        TheRequest = GW_FACT_THE_REQUEST,
        ContentType = GW_FACT_CONTENT_TYPE,
        ContentEncoding = GW_FACT_CONTENT_ENCODING,
        Handler = GW_FACT_HANDLER,
        User = GW_FACT_USER,
        ApAuthType = GW_FACT_AP_AUTH_TYPE,
        StatusLine = GW_FACT_STATUS_LINE,
        Range = GW_FACT_RANGE,
        VlistValidator = GW_FACT_VLIST_VALIDATOR,
        UseragentIp = GW_FACT_USERAGENT_IP,
        AuthType = GW_FACT_AUTH_TYPE,
        AuthName = GW_FACT_AUTH_NAME,
        DocumentRoot = GW_FACT_DOCUMENT_ROOT,
        RemoteIp = GW_FACT_REMOTE_IP,
        LocalIp = GW_FACT_LOCAL_IP,
        RemoteHost = GW_FACT_REMOTE_HOST,
        ServerHostname = GW_FACT_SERVER_HOSTNAME,
        ServerAdmin = GW_FACT_SERVER_ADMIN,
        ErrorFname = GW_FACT_ERROR_FNAME,
        LocalHost = GW_FACT_LOCAL_HOST,
        RemoteLogname = GW_FACT_REMOTE_LOGNAME,
        ServerPath = GW_FACT_SERVER_PATH,
        DefnName = GW_FACT_DEFN_NAME,
        ServerRoot = GW_FACT_SERVER_ROOT,
    }
}

numbered! {
    /// A number of a transaction.
    Number {
        Status = GW_NUMBER_STATUS,
        MethodNumber = GW_NUMBER_METHOD_NUMBER,
        ProtoNum = GW_NUMBER_PROTO_NUM,
        Assbackwards = GW_NUMBER_ASSBACKWARDS,
        HeaderOnly = GW_NUMBER_HEADER_ONLY,
        Proxyreq = GW_NUMBER_PROXYREQ,
        RequestTime = GW_NUMBER_REQUEST_TIME,
        Mtime = GW_NUMBER_MTIME,
        NoCache = GW_NUMBER_NO_CACHE,
        NoLocalCopy = GW_NUMBER_NO_LOCAL_COPY,
        BytesSent = GW_NUMBER_BYTES_SENT,
        Clength = GW_NUMBER_CLENGTH,
        Chunked = GW_NUMBER_CHUNKED,
        Allowed = GW_NUMBER_ALLOWED,
        EosSent = GW_NUMBER_EOS_SENT,
        UsedPathInfo = GW_NUMBER_USED_PATH_INFO,
        SentBodyct = GW_NUMBER_SENT_BODYCT,
        ConnectionId = GW_NUMBER_CONNECTION_ID,
        RemotePort = GW_NUMBER_REMOTE_PORT,
        LocalPort = GW_NUMBER_LOCAL_PORT,
        Aborted = GW_NUMBER_ABORTED,
        Keepalive = GW_NUMBER_KEEPALIVE,
        Keepalives = GW_NUMBER_KEEPALIVES,
        DoubleReverse = GW_NUMBER_DOUBLE_REVERSE,
        ServerPort = GW_NUMBER_SERVER_PORT,
        Timeout = GW_NUMBER_TIMEOUT,
        KeepAliveTimeout = GW_NUMBER_KEEP_ALIVE_TIMEOUT,
        KeepAliveMax = GW_NUMBER_KEEP_ALIVE_MAX,
        KeepAlive = GW_NUMBER_KEEP_ALIVE,
        Loglevel = GW_NUMBER_LOGLEVEL,
        IsVirtual = GW_NUMBER_IS_VIRTUAL,
        IsHttps = GW_NUMBER_IS_HTTPS,
        DefnLineNumber = GW_NUMBER_DEFN_LINE_NUMBER,
        LimitReqLine = GW_NUMBER_LIMIT_REQ_LINE,
        LimitReqFieldsize = GW_NUMBER_LIMIT_REQ_FIELDSIZE,
        LimitReqFields = GW_NUMBER_LIMIT_REQ_FIELDS,
        Remaining = GW_NUMBER_REMAINING,
        ReadLength = GW_NUMBER_READ_LENGTH,
        ReadBody = GW_NUMBER_READ_BODY,
        ReadChunked = GW_NUMBER_READ_CHUNKED,
        Expecting100 = GW_NUMBER_EXPECTING_100,
        Generation = GW_NUMBER_GENERATION,
        RestartTime = GW_NUMBER_RESTART_TIME,
    }
}

numbered! {
    /// A table of a transaction.
    Table {
        HeadersIn = GW_TABLE_HEADERS_IN,
        HeadersOut = GW_TABLE_HEADERS_OUT,
        ErrHeadersOut = GW_TABLE_ERR_HEADERS_OUT,
        SubprocessEnv = GW_TABLE_SUBPROCESS_ENV,
        Notes = GW_TABLE_NOTES,
        ConnectionNotes = GW_TABLE_CONNECTION_NOTES,
        ServerNames = GW_TABLE_SERVER_NAMES,
        ServerWildNames = GW_TABLE_SERVER_WILD_NAMES,
        AllowedXmethods = GW_TABLE_ALLOWED_XMETHODS,
        ContentLanguages = GW_TABLE_CONTENT_LANGUAGES,
        ServerAddrs = GW_TABLE_SERVER_ADDRS,
        ConfigTree = GW_TABLE_CONFIG_TREE,
        Settings = GW_TABLE_SETTINGS,
        Options = GW_TABLE_OPTIONS,
    }
}

numbered! {
    /// A transaction beside another one.
    Relation {
        Main = GW_RELATED_MAIN,
        Prev = GW_RELATED_PREV,
        Next = GW_RELATED_NEXT,
        Connection = GW_RELATED_CONNECTION,
    }
}

numbered! {
    /// What is found by name.
    LookUp {
        Ssl = GW_LOOK_UP_SSL,
        Define = GW_LOOK_UP_DEFINE,
        Mpm = GW_LOOK_UP_MPM,
    }
}

impl Table {
    /// Whether its entries are headers of a message.
    #[must_use]
    pub fn has_headers(self) -> bool {
        matches!(self, Self::HeadersIn | Self::HeadersOut | Self::ErrHeadersOut)
    }

    /// Whether it is a list of the server's that nobody changes.
    #[must_use]
    pub fn is_fixed(self) -> bool {
        matches!(
            self,
            Self::ServerNames
                | Self::ServerWildNames
                | Self::AllowedXmethods
                | Self::ContentLanguages
                | Self::ServerAddrs
                | Self::ConfigTree
                | Self::Settings
                | Self::Options
        )
    }
}

/// What a filter reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterRead {
    /// So many bytes.
    Bytes(usize),
    /// No more in this run.
    Nothing,
    /// No more.
    End,
}

/// A change of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'v> {
    /// This value in the place of all that the name has.
    Set(&'v [u8], &'v [u8]),
    /// This value beside them.
    Add(&'v [u8], &'v [u8]),
    /// No value.
    Unset(&'v [u8]),
    /// No entry at all.
    Clear,
}

/// What a request is. Each call is for the thread that runs its phases: on another one it fails as [`Stop::Misuse`].
///
/// What is set has been checked: no text holds a NUL, and what leaves with a head holds nothing that would end a line of it.
pub trait RequestFacts {
    /// Gives a text, if there is one.
    ///
    /// # Errors
    /// [`Stop::Misuse`].
    fn text(&self, fact: Fact, give: &mut dyn FnMut(&[u8])) -> Result<(), Stop>;

    /// Sets a text, or takes it away.
    ///
    /// # Errors
    /// [`Stop::Invalid`] for one that cannot be set.
    fn set_text(&self, fact: Fact, value: Option<&[u8]>) -> Result<(), Stop>;

    /// A number.
    ///
    /// # Errors
    /// [`Stop::Misuse`].
    fn number(&self, number: Number) -> Result<i64, Stop>;

    /// Sets a number.
    ///
    /// # Errors
    /// [`Stop::Invalid`] for one that cannot be set, or not to that.
    fn set_number(&self, number: Number, value: i64) -> Result<(), Stop>;

    /// Gives the entries of a table in order; with `name` those of it, in any case.
    ///
    /// # Errors
    /// [`Stop::Misuse`].
    fn entries(
        &self,
        table: Table,
        name: Option<&[u8]>,
        give: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Stop>;

    /// Changes a table.
    ///
    /// # Errors
    /// [`Stop::Misuse`].
    fn change(&self, table: Table, change: Change<'_>) -> Result<(), Stop>;

    /// Another one beside it, if there is one: of that nothing can be read, written or redirected.
    ///
    /// # Errors
    /// [`Stop::Invalid`] where a server does not know.
    fn related(&self, _: Relation) -> Result<Option<Box<dyn Transaction>>, Stop> {
        Err(Stop::Invalid)
    }

    /// The place of its server among those of which the adapter has told, from 0 on.
    ///
    /// # Errors
    /// [`Stop::Invalid`] where a server does not tell.
    fn server(&self) -> Result<usize, Stop> {
        Err(Stop::Invalid)
    }

    /// Gives what the server finds by a name, if it finds something.
    ///
    /// # Errors
    /// [`Stop::Invalid`] where a server has nothing of the kind.
    fn look_up(&self, _: LookUp, _: &[u8], _: &mut dyn FnMut(&[u8])) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    /// Writes a line with the request's context.
    fn log(&self, level: Level, line: &str);
}

/// A request on its way: what it is, and what goes in and out. A request beside the one whose phase runs has nothing of the second kind.
pub trait Transaction {
    /// What it is.
    fn facts(&self) -> &dyn RequestFacts;

    /// Reads body bytes; 0 is the end.
    ///
    /// # Errors
    /// [`Stop::Failed`].
    fn read(&self, _: &mut [u8]) -> Result<usize, Stop> {
        Err(Stop::Invalid)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// [`Stop::Cancelled`].
    fn write(&self, _: &[u8], _: bool) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    /// The same where nobody has to wait for it.
    ///
    /// # Errors
    /// [`Stop::Again`] without effect, else as [`Self::write`].
    fn write_at_once(&self, _: &[u8], _: bool) -> Result<(), Stop> {
        Err(Stop::Again)
    }

    /// Sends a part of a file.
    ///
    /// # Errors
    /// [`Stop::Cancelled`].
    fn send_file(&self, _: OwnedFd, _: u64, _: u64, _: bool) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    /// Declares how long the response is.
    ///
    /// # Errors
    /// [`Stop::Misuse`].
    fn set_length(&self, _: u64) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    /// What the conditions of the client make of the response.
    ///
    /// # Errors
    /// [`Stop::Misuse`].
    fn meets_conditions(&self) -> Result<PhaseAnswer, Stop> {
        Err(Stop::Invalid)
    }

    /// Has another path of the server answer.
    ///
    /// # Errors
    /// [`Stop::Misuse`] when something has left.
    fn redirect(&self, _: &[u8]) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    /// Has a handler run in a later phase, behind those of the configuration.
    ///
    /// # Errors
    /// [`Stop::Invalid`] where a server cannot do it.
    fn add_handler(&self, _: &Handler<'_>) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    /// Has the phase [`super::RequestPhase::Cleanup`] run at the end, with or without handlers.
    ///
    /// # Errors
    /// [`Stop::Invalid`] where a server cannot do it.
    fn await_cleanup(&self) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    /// In a filter: reads what has come.
    ///
    /// # Errors
    /// [`Stop::Invalid`] outside of one, [`Stop::Failed`].
    fn filter_read(&self, _: &mut [u8]) -> Result<FilterRead, Stop> {
        Err(Stop::Invalid)
    }

    /// In a filter: passes bytes on.
    ///
    /// # Errors
    /// [`Stop::Invalid`] outside of one and after its end, [`Stop::Cancelled`].
    fn filter_write(&self, _: &[u8], _: bool) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    /// In a filter: ends the body.
    ///
    /// # Errors
    /// As [`Self::filter_write`].
    fn filter_close(&self) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    /// In a filter: passes on what has not been read, and with `always` what comes later.
    ///
    /// # Errors
    /// As [`Self::filter_write`].
    fn filter_pass(&self, _: bool) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    /// Adds a filter to this request: `handler`, or one that the server knows by this name.
    ///
    /// # Errors
    /// [`Stop::Invalid`] where there is none.
    fn add_filter(&self, _: RequestPhase, _: &[u8], _: Option<&Handler<'_>>) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }
}
