// SPDX-License-Identifier: MIT OR Apache-2.0
//! What handlers of phases look at and change, by the names of the core.

use std::{
    ffi::{c_char, c_int},
    ptr,
};

use gangway::phases::{Change, Fact, Number, Table, is_line_of};

use super::{Request, tables::OwnTable};
use crate::{module::Module, sys, text};

impl<'r, M: Module> Request<'r, M> {
    /// A text, if httpd has one.
    #[must_use]
    pub fn fact(self, fact: Fact) -> Option<&'r [u8]> {
        let raw = self.as_ptr();
        // SAFETY: `from_raw` promises a live request of this thread; httpd keeps its connection and its server for longer.
        let found: *const c_char = unsafe {
            match fact {
                Fact::Method => (*raw).method,
                Fact::Uri => (*raw).uri,
                Fact::UnparsedUri => (*raw).unparsed_uri,
                Fact::Filename => (*raw).filename,
                Fact::CanonicalFilename => (*raw).canonical_filename,
                Fact::PathInfo => (*raw).path_info,
                Fact::Args => (*raw).args,
                Fact::Protocol => (*raw).protocol,
                Fact::Hostname => (*raw).hostname,
                Fact::TheRequest => (*raw).the_request,
                Fact::ContentType => (*raw).content_type,
                Fact::ContentEncoding => (*raw).content_encoding,
                Fact::Handler => (*raw).handler,
                Fact::User => (*raw).user,
                Fact::ApAuthType => (*raw).ap_auth_type,
                Fact::StatusLine => (*raw).status_line,
                Fact::Range => (*raw).range,
                Fact::VlistValidator => (*raw).vlist_validator,
                Fact::UseragentIp => (*raw).useragent_ip,
                Fact::AuthType => sys::ap_auth_type(raw),
                Fact::AuthName => sys::ap_auth_name(raw),
                Fact::DocumentRoot => sys::ap_document_root(raw),
                Fact::RemoteIp => (*(*raw).connection).client_ip,
                Fact::LocalIp => (*(*raw).connection).local_ip,
                Fact::RemoteHost => {
                    sys::ap_get_useragent_host(raw, sys::REMOTE_HOST as c_int, ptr::null_mut())
                }
                Fact::LocalHost => (*(*raw).connection).local_host,
                Fact::RemoteLogname => sys::ap_get_remote_logname(raw),
                Fact::ServerHostname
                | Fact::ServerAdmin
                | Fact::ErrorFname
                | Fact::ServerPath
                | Fact::DefnName
                | Fact::ServerRoot => return self.server()?.fact(fact),
            }
        };
        // SAFETY: httpd keeps NULL or a C string in these places, in pools that live at least as long as the request.
        (!found.is_null()).then(|| unsafe { text(found) })
    }

    /// Sets a text, or takes it away. Answers whether it can be set.
    pub fn set_fact(self, fact: Fact, value: Option<&[u8]>) -> bool {
        let raw = self.as_ptr();
        let kept: *mut c_char = value.map_or(ptr::null_mut(), |value| self.pool().keep(value));
        // SAFETY: `from_raw` promises a live request of this thread; the value is NULL or lives in its pool.
        unsafe {
            match fact {
                // httpd goes through these without looking for NULL.
                Fact::Uri | Fact::Filename if kept.is_null() => return false,
                Fact::Uri => (*raw).uri = kept,
                Fact::Filename => (*raw).filename = kept,
                Fact::CanonicalFilename => (*raw).canonical_filename = kept,
                Fact::PathInfo => (*raw).path_info = kept,
                Fact::Args => (*raw).args = kept,
                Fact::ContentType => sys::ap_set_content_type(raw, kept),
                Fact::ContentEncoding => (*raw).content_encoding = kept,
                Fact::Handler => (*raw).handler = kept,
                Fact::User => (*raw).user = kept,
                Fact::ApAuthType => (*raw).ap_auth_type = kept,
                Fact::StatusLine => (*raw).status_line = kept,
                _ => return false,
            }
        }
        true
    }

    /// A number.
    #[must_use]
    pub fn figure(self, number: Number) -> i64 {
        // SAFETY: `from_raw` promises a live request of this thread; httpd keeps its connection and its server for longer, and the
        // addresses of a connection as long as it.
        unsafe {
            let raw = &*self.as_ptr();
            let connection = &*raw.connection;
            let port = |address: *mut sys::apr_sockaddr_t| address.as_ref().map_or(0, |address| address.port);
            match number {
                Number::Status => raw.status.into(),
                Number::MethodNumber => raw.method_number.into(),
                Number::ProtoNum => raw.proto_num.into(),
                Number::Assbackwards => raw.assbackwards.into(),
                Number::HeaderOnly => raw.header_only.into(),
                Number::Proxyreq => raw.proxyreq.into(),
                Number::RequestTime => raw.request_time,
                Number::Mtime => raw.mtime,
                Number::NoCache => raw.no_cache.into(),
                Number::NoLocalCopy => raw.no_local_copy.into(),
                Number::BytesSent => raw.bytes_sent,
                Number::Clength => raw.clength,
                Number::Chunked => raw.chunked.into(),
                Number::Allowed => raw.allowed,
                Number::EosSent => raw.eos_sent.into(),
                Number::UsedPathInfo => raw.used_path_info.into(),
                Number::SentBodyct => raw.sent_bodyct,
                Number::ConnectionId => connection.id,
                Number::RemotePort => port(connection.client_addr).into(),
                Number::LocalPort => port(connection.local_addr).into(),
                Number::Aborted => self.is_aborted().into(),
                Number::Keepalive => connection.keepalive.into(),
                Number::Keepalives => connection.keepalives.into(),
                Number::DoubleReverse => connection.double_reverse().into(),
                Number::IsHttps => self.is_https().into(),
                Number::Remaining => raw.remaining,
                Number::ReadLength => raw.read_length,
                Number::ReadBody => raw.read_body.into(),
                Number::ReadChunked => raw.read_chunked.into(),
                Number::Expecting100 => raw.expecting_100.into(),
                _ => self.server().and_then(|server| server.figure(number)).unwrap_or(0),
            }
        }
    }

    /// Sets a number. Answers whether it can be set to that.
    pub fn set_figure(self, number: Number, value: i64) -> bool {
        let raw = self.as_ptr();
        let Ok(small) = c_int::try_from(value) else {
            return match number {
                // SAFETY: `from_raw` promises a live request of this thread.
                Number::Mtime => unsafe {
                    (*raw).mtime = value;
                    true
                },
                Number::Allowed => {
                    self.set_allowed(value);
                    true
                }
                _ => false,
            };
        };
        // SAFETY: `from_raw` promises a live request of this thread.
        unsafe {
            match number {
                Number::Status => {
                    (*raw).status = small;
                    // That of another status would be sent instead.
                    if !is_line_of(text((*raw).status_line), value) {
                        (*raw).status_line = ptr::null();
                    }
                }
                Number::Assbackwards => (*raw).assbackwards = small,
                Number::Proxyreq => (*raw).proxyreq = small,
                Number::Mtime => (*raw).mtime = value,
                Number::NoCache => (*raw).no_cache = small,
                Number::NoLocalCopy => (*raw).no_local_copy = small,
                Number::Allowed => self.set_allowed(value),
                Number::UsedPathInfo => (*raw).used_path_info = small,
                _ => return false,
            }
        }
        true
    }

    /// Sets the methods that `Allow` names: httpd writes that header from its list, whose bits are the same.
    fn set_allowed(self, methods: i64) {
        // SAFETY: `from_raw` promises a live request of this thread; its list of methods is NULL or live.
        unsafe {
            (*self.as_ptr()).allowed = methods;
            if let Some(list) = (*self.as_ptr()).allowed_methods.as_mut() {
                list.method_mask = methods;
            }
        }
    }

    /// Has the answer say how to authenticate, as httpd's own modules do it.
    pub fn ask_for_credentials(self) {
        let asked = self.entry(OwnTable::ErrHeadersOut, c"WWW-Authenticate").is_some();
        if !asked {
            // SAFETY: `from_raw` promises a live request of this thread.
            unsafe { sys::ap_note_auth_failure(self.as_ptr()) }
        }
    }

    /// Shows the entries of a table in order.
    pub fn show_table(self, table: Table, show: &mut dyn FnMut(&[u8], &[u8])) {
        match own_table(table) {
            Some(table) => self.entries(table).for_each(|(name, value)| show(name, value)),
            None => self.show_list(table, show),
        }
    }

    /// Changes a table. Answers whether it can be changed.
    pub fn change_table(self, table: Table, change: Change<'_>) -> bool {
        let Some(table) = own_table(table) else { return false };
        let (table, pool) = (self.own_table(table), self.pool());
        // SAFETY: httpd makes these tables with the request or its connection, and only this thread uses them. Names and values live in
        // the request's pool, or are copied into the table's own.
        unsafe {
            match change {
                Change::Set(name, value) => {
                    sys::apr_table_set(table, pool.keep(name), pool.keep(value));
                }
                Change::Add(name, value) => {
                    // As set does, and unlike addn: the table of a connection outlives the request.
                    sys::apr_table_add(table, pool.keep(name), pool.keep(value));
                }
                Change::Unset(name) => sys::apr_table_unset(table, pool.keep(name)),
                Change::Clear => sys::apr_table_clear(table),
            }
        }
        true
    }
}

/// One that is a table of APR's.
fn own_table(table: Table) -> Option<OwnTable> {
    Some(match table {
        Table::HeadersIn => OwnTable::HeadersIn,
        Table::HeadersOut => OwnTable::HeadersOut,
        Table::ErrHeadersOut => OwnTable::ErrHeadersOut,
        Table::SubprocessEnv => OwnTable::SubprocessEnv,
        Table::Notes => OwnTable::Notes,
        Table::ConnectionNotes => OwnTable::ConnectionNotes,
        _ => return None,
    })
}
