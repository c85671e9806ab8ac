// SPDX-License-Identifier: MIT OR Apache-2.0
//! `wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling").

use std::{fs::File, mem::ManuallyDrop, os::fd::FromRawFd};

use pyo3::{
    exceptions::PyAttributeError,
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyType},
};

/// A file-like object as an iterable of blocks, which the server sends by itself where it is a plain file.
#[pyclass(frozen, subclass, module = "gangway", name = "FileWrapper")]
#[derive(Debug)]
pub(crate) struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: isize,
}

/// A part of a plain file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FilePart {
    pub(crate) descriptor: i32,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize = 8192))]
    const fn new(filelike: Py<PyAny>, blksize: isize) -> Self {
        Self { filelike, blksize }
    }

    const fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let block = self.filelike.bind(py).call_method1(intern!(py, "read"), (self.blksize,))?;
        Ok(block.is_truthy()?.then_some(block))
    }

    /// There is a close() only if the file has one.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        if name == "close" {
            return self.filelike.bind(py).getattr(intern!(py, "close"));
        }
        Err(PyAttributeError::new_err(format!("'FileWrapper' object has no attribute '{name}'")))
    }
}

impl FileWrapper {
    /// What the server may send by itself: from where the file stands to its end.
    ///
    /// Only the plain files of the io module qualify. Another object may have a fileno() and yet give other bytes
    /// than the file holds (gzip.GzipFile does).
    pub(crate) fn part(&self, py: Python<'_>) -> Option<FilePart> {
        self.find_part(py).unwrap_or(None)
    }

    fn find_part(&self, py: Python<'_>) -> PyResult<Option<FilePart>> {
        let Some(file) = plain_file(self.filelike.bind(py))? else { return Ok(None) };
        let descriptor: i32 = file.call_method0(intern!(py, "fileno"))?.extract()?;
        let offset: u64 = file.call_method0(intern!(py, "tell"))?.extract()?;
        // SAFETY: the descriptor is the file's, open while it is; ManuallyDrop leaves it open.
        let borrowed = ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
        let metadata = borrowed.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        Ok(Some(FilePart { descriptor, offset, length: metadata.len().saturating_sub(offset) }))
    }
}

/// The io object whose read() is the read() of `filelike`. Django's File and tempfile's wrappers pass theirs on.
fn plain_file<'py>(filelike: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    static TYPES: PyOnceLock<[Py<PyType>; 4]> = PyOnceLock::new();
    let py = filelike.py();
    let types = TYPES.get_or_try_init(py, || {
        let io = py.import("io")?;
        let kind = |module: &Bound<'py, PyAny>, name: &str| -> PyResult<Py<PyType>> {
            Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind())
        };
        let tempfile = py.import("tempfile")?;
        PyResult::Ok([
            kind(&io, "BufferedReader")?,
            kind(&io, "BufferedRandom")?,
            kind(&io, "FileIO")?,
            kind(&tempfile, "_TemporaryFileWrapper")?,
        ])
    })?;
    let [reader, random, raw, temporary] = types;
    let filelike = if filelike.get_type().is(temporary) {
        filelike.getattr(intern!(py, "file"))?
    } else {
        filelike.clone()
    };
    let read = filelike.getattr(intern!(py, "read"))?;
    let Ok(file) = read.getattr(intern!(py, "__self__")) else { return Ok(None) };
    let kind = file.get_type();
    if kind.is(raw) {
        return Ok(Some(file));
    }
    if !kind.is(reader) && !kind.is(random) {
        return Ok(None);
    }
    if kind.is(random) {
        file.call_method0(intern!(py, "flush"))?;
    }
    Ok(file.getattr(intern!(py, "raw"))?.get_type().is(raw).then_some(file))
}

/// A block of an iteration, if it is bytes.
pub(crate) fn as_block<'a, 'py>(block: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, PyBytes>> {
    block.cast::<PyBytes>().ok()
}
