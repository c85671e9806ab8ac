// SPDX-License-Identifier: MIT OR Apache-2.0
//! Request headers that are not what the client has sent: nginx's list of them, and what nginx has found in it.

use std::ptr;

use nginx_sys::{
    ngx_array_t, ngx_hash_key, ngx_http_header_t, ngx_http_headers_in, ngx_list_create, ngx_list_push,
    ngx_str_t, ngx_table_elt_t,
};

use super::{NoMemory, Request, field::field, header::list};

/// What says how the message is framed, and for whom: nginx has acted on it.
const FIXED: [&[u8]; 11] = [
    b"host",
    b"connection",
    b"content-length",
    b"transfer-encoding",
    b"expect",
    b"upgrade",
    b"keep-alive",
    b"te",
    b"trailer",
    b"proxy-connection",
    b"http2-settings",
];

/// Of these nginx keeps all that there are.
const SEVERAL: [&[u8]; 2] = [b"cookie", b"x-forwarded-for"];

/// A name and its value.
type HeaderEntry = (Vec<u8>, Vec<u8>);

impl Request {
    /// Makes the headers of the request these, for nginx's modules and for whoever it is passed to; those that frame the message stay.
    pub(crate) fn set_headers(self, wanted: &[HeaderEntry]) -> Result<(), NoMemory> {
        let known: Vec<HeaderEntry> =
            self.headers().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let names = changed(&known, wanted);
        if names.is_empty() {
            return Ok(());
        }
        self.replace_list(&names, wanted)?;
        for name in &names {
            self.find_again(name)?;
            self.forget_variable(name);
        }
        Ok(())
    }

    /// Makes a list of what stays and of what is new.
    fn replace_list(self, names: &[Vec<u8>], wanted: &[HeaderEntry]) -> Result<(), NoMemory> {
        let is_changed = |name: &[u8]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        // SAFETY: the list of a live request, to which nobody adds meanwhile; copies of its elements, which are plain memory.
        let old: Vec<ngx_table_elt_t> =
            unsafe { list(&raw const (*self.raw()).headers_in.headers) }.copied().collect();
        // SAFETY: an nginx string of some length points to that many bytes, which live as long as the request.
        let stays = old.into_iter().filter(|header| !is_changed(unsafe { header.key.as_bytes() }));
        let mut all: Vec<ngx_table_elt_t> = stays.collect();
        for (name, value) in wanted.iter().filter(|(name, _)| is_changed(name)) {
            all.push(self.header(name, value)?);
        }
        // SAFETY: the pool of a live request; a list with room for all of them in its first part, which is where `last` points to.
        unsafe {
            let made = ngx_list_create(self.pool(), all.len().max(1), size_of::<ngx_table_elt_t>());
            if made.is_null() {
                return Err(NoMemory);
            }
            for header in all {
                let place = ngx_list_push(made).cast::<ngx_table_elt_t>();
                if place.is_null() {
                    return Err(NoMemory);
                }
                place.write(header);
            }
            let kept = &raw mut (*self.raw()).headers_in.headers;
            kept.write(*made);
            (*kept).last = &raw mut (*kept).part;
        }
        Ok(())
    }

    fn header(self, name: &[u8], value: &[u8]) -> Result<ngx_table_elt_t, NoMemory> {
        let lower = self.text(&name.to_ascii_lowercase()).ok_or(NoMemory)?;
        let (key, value) = (self.text(name).ok_or(NoMemory)?, self.text(value).ok_or(NoMemory)?);
        // SAFETY: all-zero is a header without a successor in every version; the texts live in the request's pool.
        unsafe {
            let mut header: ngx_table_elt_t = std::mem::zeroed();
            header.hash = ngx_hash_key(lower.data, lower.len);
            (header.key, header.value, header.lowcase_key) = (key, value, lower.data);
            Ok(header)
        }
    }

    /// Has nginx find a header that it looks for by itself.
    fn find_again(self, name: &[u8]) -> Result<(), NoMemory> {
        let Some(known) = looked_for(name) else { return Ok(()) };
        let place = self.headers_in_place(known.offset);
        // SAFETY: the list of a live request; its elements stay where they are until it is replaced.
        let found: Vec<*mut ngx_table_elt_t> = unsafe {
            let all = list(&raw const (*self.raw()).headers_in.headers);
            let named = all.filter(|header| header.key.as_bytes().eq_ignore_ascii_case(name));
            named.map(|header| ptr::from_ref(header).cast_mut()).collect()
        };
        if name == b"authorization" {
            // What was read out of it.
            field!(self, headers_in.user = ngx_str_t::empty());
            field!(self, headers_in.passwd = ngx_str_t::empty());
        }
        // SAFETY: nginx's table says what stands at the offset of its structure: a pointer to a header, or for these two names an array
        // of them in versions before 1.23, for which the table's own handler adds each.
        unsafe {
            if !SEVERAL.contains(&name) {
                place.cast::<*mut ngx_table_elt_t>().write(found.first().copied().unwrap_or(ptr::null_mut()));
                return Ok(());
            }
            if cfg!(nginx_header_lists) {
                place.cast::<*mut ngx_table_elt_t>().write(ptr::null_mut());
            } else {
                (*place.cast::<ngx_array_t>()).nelts = 0;
            }
            let add = known.handler.ok_or(NoMemory)?;
            for header in found {
                if add(self.raw(), header, known.offset) != 0 {
                    return Err(NoMemory);
                }
            }
        }
        Ok(())
    }

    fn headers_in_place(self, offset: usize) -> *mut u8 {
        // SAFETY: a live request; nginx's table has offsets in this structure.
        unsafe { (&raw mut (*self.raw()).headers_in).cast::<u8>().add(offset) }
    }

    /// Has `$http_NAME` be made anew where something has asked for it already.
    fn forget_variable(self, name: &[u8]) {
        let spelled: Vec<u8> = name.iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect();
        let is_of = |variable: &[u8]| {
            variable.strip_prefix(b"http_").is_some_and(|rest| rest == spelled)
                || name == b"cookie" && variable.starts_with(b"cookie_")
        };
        for index in self.used_variables(is_of) {
            // SAFETY: a live request has a value for each variable that has a number in its configuration.
            unsafe {
                let value = field!(self, variables).add(index);
                (*value).set_valid(0);
                (*value).set_not_found(0);
            }
        }
    }
}

/// The names, in lower case, whose values are others, but for those that stay.
fn changed(known: &[HeaderEntry], wanted: &[HeaderEntry]) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> =
        known.iter().chain(wanted).map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |entries: &[HeaderEntry], name: &[u8]| -> Vec<Vec<u8>> {
        let named = entries.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.clone()).collect()
    };
    names.retain(|name| !name.is_empty() && !FIXED.contains(&&**name) && of(known, name) != of(wanted, name));
    names
}

/// What nginx's table says of a name.
fn looked_for(name: &[u8]) -> Option<ngx_http_header_t> {
    // SAFETY: nginx's table, which nobody writes to and which ends with an empty name.
    unsafe {
        let mut at = (&raw const ngx_http_headers_in).cast::<ngx_http_header_t>();
        while (*at).name.len > 0 {
            if (*at).name.as_bytes().eq_ignore_ascii_case(name) {
                return Some(*at);
            }
            at = at.add(1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::changed;

    fn entries(text: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let pair = |word: &str| word.split_once('=').map(|(name, value)| (name.into(), value.into()));
        text.split(' ').filter_map(pair).collect()
    }

    #[test]
    fn names_whose_values_are_others_have_changed() {
        for (known, wanted, names) in [
            ("A=1 B=2", "b=2 A=1", ""),
            ("A=1 B=2", "A=1", "b"),
            ("A=1", "A=1 A=2", "a"),
            ("A=1 A=2", "A=2 A=1", "a"),
            ("", "X-New=1", "x-new"),
            ("Host=a Content-Length=1", "Host=b Transfer-Encoding=chunked", ""),
        ] {
            let found = changed(&entries(known), &entries(wanted));
            let found: Vec<_> = found.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            assert_eq!(found.join(" "), names, "{known} {wanted}");
        }
    }
}
