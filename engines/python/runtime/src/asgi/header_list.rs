// SPDX-License-Identifier: MIT OR Apache-2.0
//! Headers as an application gives them: pairs of bytes.

use gangway_abi::{bytes::lend, ffi::gw_field};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyBytes, PyList, PyTuple},
};

use crate::text::type_name;

/// A list that keeps its objects alive.
pub(super) struct HeaderList<'py>(Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>);

impl<'py> HeaderList<'py> {
    /// Lends the fields to a call that runs no Python code and keeps the interpreter's lock.
    pub(super) fn lend<R>(headers: &Bound<'py, PyAny>, call: impl FnOnce(&[gw_field]) -> R) -> PyResult<R> {
        // What most applications give needs no references of ours: nobody can change it meanwhile.
        if let Some(fields) = headers.cast_exact::<PyList>().ok().and_then(plain_fields) {
            return Ok(call(&fields));
        }
        let headers = Self::read(headers)?;
        Ok(call(&headers.fields()))
    }

    fn read(headers: &Bound<'py, PyAny>) -> PyResult<Self> {
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
    fn fields(&self) -> Vec<gw_field> {
        let field = |(name, value): &(Bound<'py, PyBytes>, Bound<'py, PyBytes>)| gw_field {
            name: lend(name.as_bytes()),
            value: lend(value.as_bytes()),
        };
        self.0.iter().map(field).collect()
    }
}

/// The fields of a list of tuples of bytes, borrowed from these; None for all others.
fn plain_fields(headers: &Bound<'_, PyList>) -> Option<Vec<gw_field>> {
    let mut fields = Vec::with_capacity(headers.len());
    for pair in headers {
        let pair = pair.cast_exact::<PyTuple>().ok().filter(|pair| pair.len() == 2)?;
        let (name, value) = (pair.get_borrowed_item(0).ok()?, pair.get_borrowed_item(1).ok()?);
        let (name, value) = (name.cast_exact::<PyBytes>().ok()?, value.cast_exact::<PyBytes>().ok()?);
        fields.push(gw_field { name: lend(name.as_bytes()), value: lend(value.as_bytes()) });
    }
    Some(fields)
}
