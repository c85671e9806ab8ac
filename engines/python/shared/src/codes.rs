// SPDX-License-Identifier: MIT OR Apache-2.0
//! The log codes of the Python engine, GW03xx. Allocated in order, never reused; docs/errors.md has an entry
//! for each.

use std::fmt;

macro_rules! codes {
    ($($name:ident = $number:literal, $cause:literal;)*) => {
        /// A stable code at the start of a log line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $cause] $name = $number,)*
        }

        impl Code {
            /// Every code of the engine, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it means, in a few words.
            #[must_use]
            pub const fn cause(self) -> &'static str {
                match self { $(Self::$name => $cause,)* }
            }
        }
    };
}

codes! {
    ImportFailed = 301, "the application could not be imported";
    NoCallable = 302, "the module was imported, but it has no such callable";
    NameClash = 303, "two applications of one process have a module of the same name";
    NotLoaded = 304, "a request came for an application that is not loaded";
    LoadedAfterAll = 305, "the application was loaded after its files had changed";
    RaisedBeforeHead = 306, "the application raised an exception before its response began";
    RaisedAfterHead = 307, "the application raised an exception in the middle of its response";
    NoStart = 308, "the application returned or yielded without calling start_response";
    BadBlock = 309, "the application returned something that is not an iterable of bytes";
    CloseRaised = 310, "close() of the application's response raised an exception";
    RaisedCancelled = 311, "the application raised an exception after its client had left";
    HeadRefused = 312, "the server refused the response head";
    Interrupted = 313, "the application was interrupted after its deadline";
    SignalIgnored = 314, "the application tried to set a signal handler";
    RequestFailed = 315, "the engine could not make the objects of a request";
    ShutdownFailed = 316, "the interpreter reported an error while it ended";
    Panic = 317, "a defect in the engine";
    NotForked = 318, "the application has something that its forked processes do not have";
    HandlerRaised = 319, "a handler raised an exception";
    ModuleKept = 320, "a changed module of a handler cannot be loaded";
    Incomplete = 321, "the application ended without a whole response";
    LoopBlocked = 322, "the event loop of an application does not go on";
    LifespanFailed = 323, "the lifespan of an application did not end well";
    LeftAlone = 324, "a request went on for too long after its client had left";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GW{:04}", *self as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_in_order_and_of_the_engine() {
        assert!(Code::ALL.windows(2).all(|pair| (pair[0] as u16) < pair[1] as u16));
        assert!(Code::ALL.iter().all(|code| (301..400).contains(&(*code as u16))));
        assert_eq!(Code::ImportFailed.to_string(), "GW0301");
    }
}
