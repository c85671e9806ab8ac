// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a process of an application has ended, and why its processes were replaced, in the words by which programs know it.

/// Why a process of an application has ended, or was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// By itself.
    Died,
    /// Before it took requests.
    BootFailed,
    /// It took no requests in time.
    BootTimeout,
    /// It did not answer a request in time.
    Deadline,
    /// It did not finish in time what it had.
    DrainTimeout,
    /// It did not end when it was told to.
    Killed,
    /// It has had as many requests as it may.
    MaxRequests,
    /// It has used as much memory as it may.
    MaxRss,
    /// It has reached its age.
    Lifetime,
    /// Nobody has asked it for so long.
    Idle,
    /// By itself, and without a complaint, when it had answered requests.
    Finished,
}

impl ExitReason {
    /// All of them, in the order of their words.
    pub const ALL: [Self; 11] = [
        Self::Died,
        Self::BootFailed,
        Self::BootTimeout,
        Self::Deadline,
        Self::DrainTimeout,
        Self::Killed,
        Self::MaxRequests,
        Self::MaxRss,
        Self::Lifetime,
        Self::Idle,
        Self::Finished,
    ];

    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Died => "died",
            Self::BootFailed => "boot_failed",
            Self::BootTimeout => "boot_timeout",
            Self::Deadline => "deadline",
            Self::DrainTimeout => "drain_timeout",
            Self::Killed => "killed",
            Self::MaxRequests => "max_requests",
            Self::MaxRss => "max_rss",
            Self::Lifetime => "lifetime",
            Self::Idle => "idle",
            Self::Finished => "finished",
        }
    }

    /// Whether that is what the configuration or the program wants.
    #[must_use]
    pub fn is_wanted(self) -> bool {
        matches!(self, Self::MaxRequests | Self::Lifetime | Self::Idle | Self::Finished)
    }
}

/// Why all processes of an application are replaced: what a new generation begins for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartReason {
    /// Files of the application have changed, which is looked for from time to time.
    Files,
    /// The file that is there for that was touched.
    RestartFile,
    /// Somebody has asked for it.
    Command,
    /// Files of the application had changed when the server was reloaded.
    ServerReload,
    /// The configuration has other words for its processes.
    Configuration,
}

impl RestartReason {
    /// All of them, in the order of their words.
    pub const ALL: [Self; 5] =
        [Self::Files, Self::RestartFile, Self::Command, Self::ServerReload, Self::Configuration];

    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::RestartFile => "restart_file",
            Self::Command => "command",
            Self::ServerReload => "server_reload",
            Self::Configuration => "configuration",
        }
    }
}
