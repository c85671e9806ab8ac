// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tls extension of ASGI, as far as the server knows it.

use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyList},
};

use crate::text::text;

/// The variables that it is made of, by the names of mod_ssl; values are empty where there is none.
#[derive(Default)]
pub(super) struct TlsFacts<'a> {
    protocol: &'a [u8],
    cipher: &'a [u8],
    server_cert: &'a [u8],
    client_cert: &'a [u8],
    client_name: &'a [u8],
    client_verify: &'a [u8],
}

impl<'a> TlsFacts<'a> {
    pub(super) fn slot(&mut self, name: &[u8]) -> Option<&mut &'a [u8]> {
        Some(match name {
            b"SSL_PROTOCOL" => &mut self.protocol,
            b"SSL_CIPHER" => &mut self.cipher,
            b"SSL_SERVER_CERT" => &mut self.server_cert,
            b"SSL_CLIENT_CERT" => &mut self.client_cert,
            b"SSL_CLIENT_S_DN" => &mut self.client_name,
            b"SSL_CLIENT_VERIFY" => &mut self.client_verify,
            _ => return None,
        })
    }

    /// The extension; `None` where the server says nothing of TLS.
    pub(super) fn extension<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        if self.protocol.is_empty() {
            return Ok(None);
        }
        let or_none = |value: &[u8]| -> PyResult<_> {
            if value.is_empty() { Ok(None) } else { text(py, value).map(Some) }
        };
        let extension = PyDict::new(py);
        extension.set_item(intern!(py, "server_cert"), or_none(self.server_cert)?)?;
        let chain = PyList::empty(py);
        if let Some(certificate) = or_none(self.client_cert)? {
            chain.append(certificate)?;
        }
        extension.set_item(intern!(py, "client_cert_chain"), chain)?;
        extension.set_item(intern!(py, "client_cert_name"), or_none(self.client_name)?)?;
        let failure =
            self.client_verify.strip_prefix(b"FAILED").map(|why| why.strip_prefix(b":").unwrap_or(why));
        extension
            .set_item(intern!(py, "client_cert_error"), failure.map(|why| text(py, why)).transpose()?)?;
        extension.set_item(intern!(py, "tls_version"), version(self.protocol))?;
        extension.set_item(intern!(py, "cipher_suite"), cipher_suite(self.cipher))?;
        Ok(Some(extension))
    }
}

/// RFC 8446 section 4.2.1 and its forerunners.
fn version(protocol: &[u8]) -> Option<u16> {
    Some(match protocol {
        b"SSLv3" => 0x0300,
        b"TLSv1" => 0x0301,
        b"TLSv1.1" => 0x0302,
        b"TLSv1.2" => 0x0303,
        b"TLSv1.3" => 0x0304,
        _ => return None,
    })
}

/// IANA's number of a cipher suite that OpenSSL names so.
fn cipher_suite(name: &[u8]) -> Option<u16> {
    const SUITES: [(&[u8], u16); 28] = [
        (b"TLS_AES_128_GCM_SHA256", 0x1301),
        (b"TLS_AES_256_GCM_SHA384", 0x1302),
        (b"TLS_CHACHA20_POLY1305_SHA256", 0x1303),
        (b"TLS_AES_128_CCM_SHA256", 0x1304),
        (b"TLS_AES_128_CCM_8_SHA256", 0x1305),
        (b"ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02b),
        (b"ECDHE-ECDSA-AES256-GCM-SHA384", 0xc02c),
        (b"ECDHE-RSA-AES128-GCM-SHA256", 0xc02f),
        (b"ECDHE-RSA-AES256-GCM-SHA384", 0xc030),
        (b"ECDHE-RSA-CHACHA20-POLY1305", 0xcca8),
        (b"ECDHE-ECDSA-CHACHA20-POLY1305", 0xcca9),
        (b"DHE-RSA-CHACHA20-POLY1305", 0xccaa),
        (b"DHE-RSA-AES128-GCM-SHA256", 0x009e),
        (b"DHE-RSA-AES256-GCM-SHA384", 0x009f),
        (b"ECDHE-ECDSA-AES128-SHA256", 0xc023),
        (b"ECDHE-ECDSA-AES256-SHA384", 0xc024),
        (b"ECDHE-RSA-AES128-SHA256", 0xc027),
        (b"ECDHE-RSA-AES256-SHA384", 0xc028),
        (b"ECDHE-ECDSA-AES128-SHA", 0xc009),
        (b"ECDHE-ECDSA-AES256-SHA", 0xc00a),
        (b"ECDHE-RSA-AES128-SHA", 0xc013),
        (b"ECDHE-RSA-AES256-SHA", 0xc014),
        (b"AES128-GCM-SHA256", 0x009c),
        (b"AES256-GCM-SHA384", 0x009d),
        (b"AES128-SHA256", 0x003c),
        (b"AES256-SHA256", 0x003d),
        (b"AES128-SHA", 0x002f),
        (b"AES256-SHA", 0x0035),
    ];
    SUITES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_numbers() {
        assert_eq!((version(b"TLSv1.3"), version(b"QUIC")), (Some(0x0304), None));
        assert_eq!((cipher_suite(b"TLS_AES_256_GCM_SHA384"), cipher_suite(b"NULL")), (Some(0x1302), None));
    }
}
