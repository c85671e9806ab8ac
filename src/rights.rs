// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program that Gangway starts is and may: the words of the configuration name it, the spawner carries it out.

/// A user that programs run as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// As the configuration writes it.
    pub name: String,
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// Limits of one program; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of address space: RLIMIT_AS.
    pub memory: u64,
    /// Seconds of CPU time: RLIMIT_CPU.
    pub cpu: u64,
    /// Open descriptors: RLIMIT_NOFILE.
    pub files: u64,
}
