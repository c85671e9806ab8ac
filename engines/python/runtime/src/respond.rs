// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the application for one request and turns what it returns into a response.

use gangway_abi::{
    Level,
    ffi::{GW_ERROR, GW_OK, gw_status},
    host::log_bytes,
};
use gangway_python_shared::codes::Code;
use pyo3::{
    exceptions::{PyMemoryError, PyTypeError},
    ffi, intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};

use crate::{
    app::App,
    cold::Cold,
    errors_stream::log_lines,
    exchange::Exchange,
    file_wrapper::{FileWrapper, as_block},
    leave::end_child,
    page,
    request_objects::RequestObjects,
    send::{SendFailure, send_block, send_file, send_head},
    text::type_name,
};

/// One request on its way through the application.
pub(crate) struct Run<'a, 'py> {
    pub(crate) py: Python<'py>,
    pub(crate) app: &'a App,
    pub(crate) objects: &'a RequestObjects,
}

impl<'py> Run<'_, 'py> {
    /// Calls the application and answers the request. Returns what handle() answers.
    pub(crate) fn run(&self, callable: &Bound<'py, PyAny>, environ: Bound<'py, PyDict>) -> gw_status {
        let called = self.call(callable, environ);
        end_child(self.py, called.as_ref().err());
        let result = match called {
            Ok(result) => result,
            Err(error) => return self.fail(SendFailure::Raised(error)),
        };
        let delivered = self.deliver(&result);
        end_child(
            self.py,
            match &delivered {
                Err(SendFailure::Raised(error)) => Some(error),
                _ => None,
            },
        );
        let status = match delivered {
            Ok(()) | Err(SendFailure::Full) => self.finish(GW_OK),
            Err(failure) => self.fail(failure),
        };
        // "If the iterable returned by the application has a close() method, the server or gateway must call that
        // method upon completion of the current request, whether the request was completed normally, or terminated
        // early". The client does not wait for it.
        self.close(&result);
        status
    }

    fn call(&self, callable: &Bound<'py, PyAny>, environ: Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let arguments =
            (environ, self.objects.start_response.bind(self.py).clone()).into_pyobject(self.py)?;
        // SAFETY: both are live objects of this interpreter, whose lock is held; the result is new, or null.
        unsafe {
            let result = ffi::PyObject_Call(callable.as_ptr(), arguments.as_ptr(), std::ptr::null_mut());
            Bound::from_owned_ptr_or_err(self.py, result)
        }
    }

    fn exchange(&self) -> &Exchange {
        &self.objects.exchange
    }

    fn deliver(&self, result: &Bound<'py, PyAny>) -> Result<(), SendFailure> {
        if result.is_exact_instance_of::<PyList>() {
            // SAFETY: the type is checked; the items are looked at without running code of the application.
            let list = unsafe { result.cast_unchecked::<PyList>() };
            return self.deliver_all(list.len(), |index| list.get_item(index));
        }
        if result.is_exact_instance_of::<PyTuple>() {
            // SAFETY: the type is checked.
            let tuple = unsafe { result.cast_unchecked::<PyTuple>() };
            return self.deliver_all(tuple.len(), |index| tuple.get_item(index));
        }
        if let Ok(wrapper) = result.cast_exact::<FileWrapper>()
            && self.deliver_file(wrapper)?
        {
            return Ok(());
        }
        self.deliver_blocks(result)
    }

    /// A list or a tuple has all its blocks already: its length is known and nothing is waited for between them.
    fn deliver_all(
        &self,
        count: usize,
        item: impl Fn(usize) -> PyResult<Bound<'py, PyAny>>,
    ) -> Result<(), SendFailure> {
        let mut total = 0;
        for index in 0..count {
            total += block_of(&item(index)?)?.as_bytes().len() as u64;
        }
        self.conclude_head(total)?;
        for index in 0..count {
            // Another thread may have changed the list while a block was waited for.
            let Ok(block) = item(index) else { break };
            send_block(self.py, self.exchange(), block_of(&block)?, false)?;
        }
        send_head(self.py, self.exchange())
    }

    /// Adds the Content-Length of a body whose length is known to be `total`, if there is none.
    fn conclude_head(&self, total: u64) -> Result<(), SendFailure> {
        let mut response = self.exchange().response.get_mut(self.py)?;
        // An empty answer to HEAD says nothing of the length that GET would have.
        let telling = total > 0 || !response.no_body;
        let open = response.started && !response.head_sent;
        if open && telling && response.head.permits_body() && response.head.length().is_none() {
            response.head.set_length(total);
        }
        Ok(())
    }

    /// Any other iterable: each block leaves before the next one is asked for.
    fn deliver_blocks(&self, result: &Bound<'py, PyAny>) -> Result<(), SendFailure> {
        if result.is_instance_of::<PyString>() || result.is_instance_of::<PyBytes>() {
            let kind = type_name(result);
            return Err(bad_block(format!(
                "it returned {kind} itself; return a list with the bytes: [data]"
            )));
        }
        let blocks = result.try_iter().map_err(|error| {
            if error.is_instance_of::<PyTypeError>(self.py) {
                let kind = type_name(result);
                return bad_block(format!(
                    "it returned {kind}, which is not iterable; return a list of bytes"
                ));
            }
            SendFailure::Raised(error)
        })?;
        for block in blocks {
            send_block(self.py, self.exchange(), block_of(&block?)?, true)?;
        }
        if !self.exchange().response.get(self.py)?.head_sent {
            self.conclude_head(0)?;
        }
        send_head(self.py, self.exchange())
    }

    /// Sends a plain file without reading it; `false` if it is none.
    fn deliver_file(&self, wrapper: &Bound<'py, FileWrapper>) -> Result<bool, SendFailure> {
        let Some(part) = wrapper.get().part(self.py) else { return Ok(false) };
        let declared = {
            let response = self.exchange().response.get(self.py)?;
            response.head.length().filter(|_| response.started)
        };
        let length = declared.map_or(part.length, |declared| declared.min(part.length));
        self.conclude_head(length)?;
        send_file(self.py, self.exchange(), part.descriptor, part.offset, length)?;
        Ok(true)
    }

    fn finish(&self, outcome: gw_status) -> gw_status {
        let Ok(request) = self.exchange().request(self.py) else { return GW_ERROR };
        self.exchange().wait_idle(self.py);
        // SAFETY: the request is alive, this is its thread, and finish() is called here alone, once per request.
        let status = unsafe { (self.exchange().host.finish)(request, outcome) };
        if status == GW_OK { GW_OK } else { GW_ERROR }
    }

    /// Logs a failure and answers it.
    fn fail(&self, failure: SendFailure) -> gw_status {
        match failure {
            SendFailure::Raised(error) => self.raised(&error),
            SendFailure::Fault(code, text) => {
                self.log(Level::Error, code, &text);
                self.answer_error(&text, None)
            }
            SendFailure::Full => self.finish(GW_OK),
            // The host knows, and finishes the request itself.
            SendFailure::Gone | SendFailure::Refused => GW_ERROR,
        }
    }

    fn raised(&self, error: &PyErr) -> gw_status {
        let cold = Cold::get(self.py);
        let cause = cold.one_line(self.py, error);
        if cold.is_timeout(self.py, error) {
            // interrupt() has logged where it was.
            return GW_ERROR;
        }
        if self.exchange().cancelled(self.py) {
            self.log(
                Level::Info,
                Code::RaisedCancelled,
                &format!("raised {cause} after its client had left"),
            );
            return GW_ERROR;
        }
        let lines = cold.lines(self.py, error);
        if let Some(lines) = &lines {
            log_lines(crate::errors_stream::current(), lines);
        }
        let sent = self.exchange().response.get(self.py).is_ok_and(|response| response.head_sent);
        if sent {
            let text = format!("raised {cause} in the middle of its response; the connection is cut");
            self.log(Level::Error, Code::RaisedAfterHead, &text);
            return self.finish(GW_ERROR);
        }
        self.log(Level::Error, Code::RaisedBeforeHead, &format!("raised {cause}"));
        if error.is_instance_of::<PyMemoryError>(self.py) && !self.app.debug {
            page::no_memory(self.py, self.exchange());
            return self.finish(GW_OK);
        }
        self.answer_error(&cause, lines.as_ref())
    }

    /// 500, with the reason in it where the administrator asked for that.
    fn answer_error(&self, cause: &str, lines: Option<&Bound<'py, PyList>>) -> gw_status {
        let sent = self.exchange().response.get(self.py).is_ok_and(|response| response.head_sent);
        if sent || !self.app.debug {
            return self.finish(GW_ERROR);
        }
        page::debug(self.py, self.exchange(), &self.app.name, cause, lines);
        self.finish(GW_OK)
    }

    fn close(&self, result: &Bound<'py, PyAny>) {
        if result.is_exact_instance_of::<PyList>() || result.is_exact_instance_of::<PyTuple>() {
            return;
        }
        let Ok(close) = result.getattr(intern!(self.py, "close")) else { return };
        let closed = close.call0();
        end_child(self.py, closed.as_ref().err());
        if let Err(error) = closed {
            let cold = Cold::get(self.py);
            if let Some(lines) = cold.lines(self.py, &error) {
                log_lines(crate::errors_stream::current(), &lines);
            }
            let cause = cold.one_line(self.py, &error);
            self.log(Level::Error, Code::CloseRaised, &format!("raised {cause} in close() of its response"));
        }
    }

    fn log(&self, level: Level, code: Code, text: &str) {
        let line = format!("{code} application \"{}\": {text}", self.app.name);
        // SAFETY: the request is the one that this thread is inside handle() for.
        unsafe { log_bytes(crate::errors_stream::current(), level, line.as_bytes()) };
    }
}

/// The block as bytes, or what is wrong with it.
fn block_of<'a, 'py>(block: &'a Bound<'py, PyAny>) -> Result<&'a Bound<'py, PyBytes>, SendFailure> {
    as_block(block).ok_or_else(|| {
        let hint = if block.is_instance_of::<PyString>() { "; encode it" } else { "" };
        bad_block(format!("a block of its response is {}, not bytes{hint}", type_name(block)))
    })
}

fn bad_block(text: String) -> SendFailure {
    SendFailure::Fault(Code::BadBlock, text)
}
