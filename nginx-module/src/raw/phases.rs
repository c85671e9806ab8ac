// SPDX-License-Identifier: MIT OR Apache-2.0
//! The phases of a request: how it goes on when a handler of one has been waited for, and what such a handler changes.

use nginx_sys::{ngx_http_block_reading, ngx_http_core_run_phases, ngx_http_set_exten, ngx_str_t};

use super::{NoMemory, Request, field::field};

impl Request {
    /// Goes on with the phase in which the request is: nginx asks the phase's handler again. The request may be gone after it.
    pub(crate) fn resume_phases(self) {
        field!(self, read_event_handler = Some(ngx_http_block_reading));
        field!(self, write_event_handler = Some(ngx_http_core_run_phases));
        // SAFETY: a live request in one of its phases, which no other handler waits for.
        unsafe { ngx_http_core_run_phases(self.raw()) }
    }

    /// Makes the path another one, before nginx looks for the location.
    pub(crate) fn set_path(self, path: &[u8]) -> Result<(), NoMemory> {
        let path = self.text(path).ok_or(NoMemory)?;
        field!(self, uri = path);
        field!(self, set_valid_unparsed_uri(0));
        // SAFETY: live request; the path lives in its pool.
        unsafe { ngx_http_set_exten(self.raw()) };
        Ok(())
    }

    /// Makes the query another one.
    pub(crate) fn set_query(self, query: &[u8]) -> Result<(), NoMemory> {
        let query = self.text(query).ok_or(NoMemory)?;
        field!(self, args = query);
        field!(self, set_valid_unparsed_uri(0));
        Ok(())
    }

    /// Has `$remote_user` be this, where the configuration uses it: nginx itself takes it from what the client claims.
    pub(crate) fn set_remote_user(self, user: &[u8]) -> Result<(), NoMemory> {
        let Some(index) = self.used_variable(b"remote_user") else { return Ok(()) };
        let text: ngx_str_t = self.text(user).ok_or(NoMemory)?;
        // SAFETY: a live request has a value for each variable that has a number in its configuration; the text lives in its pool.
        unsafe {
            let value = field!(self, variables).add(index.unsigned_abs());
            (*value).data = text.data;
            (*value).set_len(u32::try_from(text.len.min(1 << 20)).unwrap_or_default());
            (*value).set_valid(1);
            (*value).set_no_cacheable(0);
            (*value).set_not_found(0);
        }
        Ok(())
    }
}
