// SPDX-License-Identifier: MIT OR Apache-2.0
//! A directive that httpd reads.

use gangway_httpd::directive;

use super::{index::module_index, sys, text};
use crate::section::{self, Section};

/// A directive that is being read.
#[derive(Clone, Copy)]
pub(crate) struct Command<'c>(directive::Command<'c>);

impl<'c> Command<'c> {
    /// # Safety
    /// As [`directive::Command::from_raw`].
    pub(crate) unsafe fn from_raw(raw: *mut sys::cmd_parms) -> Self {
        // SAFETY: the caller's promise is that function's.
        Self(unsafe { directive::Command::from_raw(raw, module_index()) })
    }

    /// Where the directive stands, for messages.
    pub(crate) fn place(self) -> String {
        // SAFETY: httpd gives a live directive with each command.
        let (file, line) = unsafe {
            let directive = (*self.0.as_ptr()).directive;
            (text((*directive).filename), (*directive).line_num)
        };
        format!("line {line} of {}", String::from_utf8_lossy(file))
    }

    /// Whether the directive stands outside of virtual hosts and sections; else what httpd says to that.
    pub(crate) fn is_global(self) -> Result<(), String> {
        // SAFETY: a live command; the answer is NULL or a C string in its pool.
        let wrong = unsafe { text(sys::ap_check_cmd_context(self.0.as_ptr(), sys::GANGWAY_GLOBAL_ONLY)) };
        if wrong.is_empty() { Ok(()) } else { Err(String::from_utf8_lossy(wrong).into_owned()) }
    }

    /// The section that the directive stands in, and its path.
    pub(crate) fn section(self) -> (Section, Vec<u8>) {
        // SAFETY: httpd gives a live directive with each command; parents are live as well.
        unsafe {
            let own = (*self.0.as_ptr()).directive;
            let mut at = (*own).parent;
            while !at.is_null() {
                let (name, arguments) = (text((*at).directive), text((*at).args));
                if let Some((section, written)) = section::section(name, arguments) {
                    // httpd has made the path of a directory canonical, unless a section in it has its own.
                    let by_file = matches!(section, Section::Directory | Section::DirectoryPattern);
                    let canonical = by_file && at == (*own).parent && !(*self.0.as_ptr()).path.is_null();
                    let path = if canonical { text((*self.0.as_ptr()).path) } else { &written };
                    return (section, path.to_vec());
                }
                at = (*at).parent;
            }
        }
        (Section::Server, Vec::new())
    }
}

impl<'c> std::ops::Deref for Command<'c> {
    type Target = directive::Command<'c>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
