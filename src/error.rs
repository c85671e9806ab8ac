// SPDX-License-Identifier: MIT OR Apache-2.0
//! Log codes. Each stands in docs/errors.md with its cause, outcome and action; a test compares the two.

use std::fmt;

/// A stable, greppable code of a log line: `GW0402`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code {
    number: u16,
    /// What the code says, as the title of its entry in docs/errors.md.
    pub title: &'static str,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GW{:04}", self.number)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({})", self.title)
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code { number: $number, title: $title };)*
        /// Every code of the core and of the server modules, in order.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

// Allocated in order within a hundred, never reused. 03xx belongs to the engines.
codes! {
    BAD_OPTION = 101, "an option word is not understood";
    BAD_VALUE = 102, "the value of an option is not usable";
    BAD_TARGET = 103, "the application to run is not named properly";
    CANNOT_SHARE = 104, "two applications cannot share a process";
    BAD_PARAM = 105, "a variable is not named properly";
    BAD_UPSTREAM = 106, "a backend is not named properly";
    TWO_HANDLERS = 107, "two handlers in one location";
    CLOSED = 108, "the workers cannot reach the files of an application";
    HOST_MISSING = 109, "the program that runs applications in processes of their own is missing";
    STATUS_OPEN = 110, "the status is shown to everybody";
    NO_DEBUGGER = 111, "handlers run without a debugger";
    ENGINE_MISSING = 201, "an engine cannot be opened";
    ENGINE_ENTRY = 202, "an engine has no entry point or returned no table";
    ENGINE_VERSION = 203, "an engine was built for another ABI version";
    ENGINE_SHORT = 204, "an engine's table is too short";
    ENGINE_NULL = 205, "an engine's table lacks a required member";
    LOAD_FAILED = 206, "an engine could not load an application";
    ENGINE_MISUSE = 207, "an engine broke the contract of gangway.h";
    STOP_TIMEOUT = 208, "an engine did not stop in time";
    PANIC = 209, "a programming error was caught";
    ENGINE_STATEMENT = 210, "an engine's statement of its interfaces is not usable";
    ENGINE_TWICE = 211, "two engines have the same interface";
    QUEUE_FULL = 401, "the queue of an application is full";
    DEADLINE = 402, "an application gave no output within its timeout";
    STUCK = 403, "an interrupted request does not end";
    RETIRED = 404, "a worker process is retired";
    QUEUE_DEADLINE = 405, "a request waited in the queue for longer than its timeout";
    THREADS_FAILED = 406, "threads for an application could not be started";
    SOCKETS_FULL = 407, "all threads that may have a WebSocket have one";
    BAD_HEADER = 501, "a response header was refused";
    BAD_STATUS = 502, "a response status was refused";
    TOO_LONG = 503, "a response was longer than its Content-Length";
    TOO_SHORT = 504, "a response was shorter than its Content-Length";
    BAD_LENGTH = 505, "a response has a wrong Content-Length";
    NO_HEAD = 506, "a handler ended without a response";
    BODY_FAILED = 507, "the request body could not be read";
    REQUEST_REFUSED = 508, "a request was refused before it reached a handler";
    BAD_MESSAGE = 509, "a message of a WebSocket was refused";
    NOBODY_LET_IN = 510, "nobody has let a client in";
    LATE_HANDLERS_SKIPPED = 511, "handlers of what comes after a response do not run";
    SERVER_FAILED = 601, "the web server refused an operation";
    BACKEND_BROKE = 701, "a backend broke its protocol";
    BACKEND_REFUSED = 702, "a FastCGI backend refused a request";
    BACKEND_CUT = 703, "a response ended too early";
    BAD_RESPONSE_HEAD = 704, "the head of a response was refused";
    RESPONSE_HEAD_TOO_LARGE = 705, "the head of a response is too large";
    CANNOT_ENCODE = 706, "a request cannot be expressed in the protocol of its backend";
    BACKEND_STDERR = 707, "a FastCGI application wrote to its standard error";
    TOO_MUCH_BODY = 708, "a backend sent more than its Content-Length";
    SCRIPT_MISSING = 709, "a request names a script that is no file below the root";
    CACHE_SKIPPED = 710, "a response is not cached because its head is too large";
    BACKEND_SILENT = 711, "a backend was silent for too long";
    CLIENT_LEFT = 712, "a client left before its response was whole";
    NOT_AUTHORIZED = 713, "an authorizer could not be asked";
    CGI_FAILED = 801, "a script could not be started";
    CGI_HEAD = 802, "a script gave no usable response head";
    CGI_STDERR = 803, "a script wrote to its standard error";
    CGI_TIMEOUT = 804, "a script gave no output within its timeout";
    CGI_FULL = 805, "too many requests wait for scripts";
    CGI_SPAWNER = 806, "the spawner does not work";
    CGI_REFUSED = 807, "a path or a request was refused before a script ran";
    CGI_REDIRECT = 808, "a local redirect of a script was refused";
    NO_PROCESS = 901, "an application has no process";
    PROCESS_NOT_STARTED = 902, "a process of an application could not be started";
    PROCESS_NOT_READY = 903, "a process of an application did not come to take requests";
    PROCESS_DIED = 904, "a process of an application ended unexpectedly";
    PROCESS_OUTPUT = 905, "a process of an application wrote to its output";
    PROCESS_SLOW = 906, "a process of an application did not end in time";
    RESTARTED = 907, "the processes of an application are replaced";
    SUPERVISOR = 908, "the processes that look after applications do not work";
    CONTROLLED = 909, "an application is controlled by hand";
    WARMUP_FAILED = 910, "the first request of a process failed";
    NO_SOCKETS = 911, "a WebSocket was asked of an application in processes of its own";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_are_unique() {
        assert!(ALL.windows(2).all(|pair| pair[0].number < pair[1].number));
    }

    #[test]
    fn codes_print_with_four_digits() {
        assert_eq!(BAD_OPTION.to_string(), "GW0101");
    }
}
