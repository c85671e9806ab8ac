// SPDX-License-Identifier: MIT OR Apache-2.0
//! How important a log line is.

use crate::ffi;

/// Severity of a log line, in the words that both servers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Level {
    /// A request or an application failed.
    Error = ffi::GW_LOG_ERROR,
    /// Something was refused, dropped or cut, and the request went on.
    Warn = ffi::GW_LOG_WARN,
    /// Life cycle of applications and workers.
    Notice = ffi::GW_LOG_NOTICE,
    /// Detail.
    Info = ffi::GW_LOG_INFO,
    /// Detail for developers.
    Debug = ffi::GW_LOG_DEBUG,
    /// An error's further lines, such as those of a traceback: in the log of the request, without its context.
    Further = ffi::GW_LOG_FURTHER,
}

impl Level {
    const ALL: [Self; 6] = [Self::Error, Self::Warn, Self::Notice, Self::Info, Self::Debug, Self::Further];

    /// The level of a `GW_LOG_*` number; unknown numbers are errors, so that nothing is hidden.
    #[must_use]
    pub fn from_abi(number: u32) -> Self {
        Self::ALL.into_iter().find(|level| *level as u32 == number).unwrap_or(Self::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::Level;

    #[test]
    fn numbers_are_those_of_the_header_and_unknown_ones_are_errors() {
        for level in Level::ALL {
            assert_eq!(Level::from_abi(level as u32), level);
        }
        assert_eq!((Level::from_abi(0), Level::from_abi(7)), (Level::Error, Level::Error));
    }
}
