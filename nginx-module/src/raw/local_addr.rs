// SPDX-License-Identifier: MIT OR Apache-2.0
//! The address that a client has connected to, in nginx's words.

use std::{cell::RefCell, rc::Rc, slice};

use nginx_sys::ngx_int_t;

use super::{Request, field::field};

/// An address as the system has it, and as nginx writes it.
type WrittenAddress = (Vec<u8>, Rc<[u8]>);

thread_local! {
    /// The last one: a server has few, and nginx writes one anew for each request.
    static LAST: RefCell<Option<WrittenAddress>> = const { RefCell::new(None) };
}

impl Request {
    /// The value of nginx's variable for it, which has this index.
    pub(crate) fn local_addr(&self, index: ngx_int_t) -> Rc<[u8]> {
        let is_it = |(known, _): &&WrittenAddress| known == self.local_sockaddr();
        let known = LAST.with_borrow(|last| last.as_ref().filter(is_it).map(|(_, text)| Rc::clone(text)));
        if let Some(known) = known {
            return known;
        }
        let text: Rc<[u8]> = self.variable(index).into();
        if !text.is_empty() {
            // Of a socket that listens at all addresses nginx knows by now which one this connection has.
            LAST.set(Some((self.local_sockaddr().to_vec(), Rc::clone(&text))));
        }
        text
    }

    fn local_sockaddr(&self) -> &[u8] {
        let connection = self.connection();
        let (address, length) = (field!(connection, local_sockaddr), field!(connection, local_socklen));
        if address.is_null() {
            return &[];
        }
        // SAFETY: nginx keeps so many bytes of the address for as long as the connection, which this live request is a part of.
        unsafe { slice::from_raw_parts(address.cast(), length as usize) }
    }
}
