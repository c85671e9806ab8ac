// SPDX-License-Identifier: MIT OR Apache-2.0
//! Headers as an application gives them: pairs of bytes.

use gangway_abi::{bytes::lend, ffi::gw_field};
use pyo3::{exceptions::PyTypeError, prelude::*, types::PyBytes};

use crate::text::type_name;

/// A list that keeps its objects alive.
pub(super) struct HeaderList<'py>(Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>);

impl<'py> HeaderList<'py> {
    pub(super) fn read(headers: &Bound<'py, PyAny>) -> PyResult<Self> {
        let mut pairs = Vec::new();
        for pair in headers.try_iter()? {
            let pair = pair?;
            let bytes = |index: usize| -> PyResult<Bound<'py, PyBytes>> {
                let item = pair.get_item(index)?;
                item.cast_into().map_err(|error| {
                    let kind = type_name(&error.into_inner());
                    PyTypeError::new_err(format!("names and values of headers must be bytes, not {kind}"))
                })
            };
            pairs.push((bytes(0)?, bytes(1)?));
        }
        Ok(Self(pairs))
    }

    /// The same, borrowed.
    pub(super) fn fields(&self) -> Vec<gw_field> {
        let field = |(name, value): &(Bound<'py, PyBytes>, Bound<'py, PyBytes>)| gw_field {
            name: lend(name.as_bytes()),
            value: lend(value.as_bytes()),
        };
        self.0.iter().map(field).collect()
    }
}
