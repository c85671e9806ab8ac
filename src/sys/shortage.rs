// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors of the operating system that are limits: the one who meets them is not at fault.

use std::{io, mem::MaybeUninit};

/// Whether no descriptor could be made because a limit has been reached.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// An error in words; a limit that was reached with its name, its value and the cure.
#[must_use]
pub fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EMFILE) => limit_of_process(),
        Some(libc::ENFILE) => {
            "too many open files: the limit of this machine is reached; raise fs.file-max (sysctl)".into()
        }
        _ => error.to_string(),
    }
}

/// As [`explain`], for the text of somebody who does not tell the number: dlerror(3). `None`: it is about something else.
#[must_use]
pub fn explain_text(text: &str) -> Option<String> {
    let says = |number| {
        // "Too many open files (os error 24)"
        let known = io::Error::from_raw_os_error(number).to_string();
        text.contains(known.split(" (").next().unwrap_or(&known))
    };
    let number = [libc::ENFILE, libc::EMFILE].into_iter().find(|number| says(*number));
    number.map(|number| explain(&io::Error::from_raw_os_error(number)))
}

fn limit_of_process() -> String {
    let mut limit = MaybeUninit::<libc::rlimit>::zeroed();
    // SAFETY: the structure is writable, and whatever is in it is a value of its type.
    let limit = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr());
        limit.assume_init().rlim_cur
    };
    format!(
        "too many open files: this process has reached its limit of {limit} descriptors (RLIMIT_NOFILE); raise it in the \
         server's configuration or where it is started (LimitNOFILE=, ulimit -n)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named_and_nothing_else() {
        let text = explain(&io::Error::from_raw_os_error(libc::EMFILE));
        assert!(text.contains("RLIMIT_NOFILE") && text.contains("limit of "), "{text}");
        assert_eq!(
            explain(&io::Error::from_raw_os_error(libc::ENOENT)),
            "No such file or directory (os error 2)"
        );
        assert_eq!(explain_text("libx.so: cannot open shared object file: Too many open files"), Some(text));
        assert!(
            explain_text("x: Too many open files in system").is_some_and(|text| text.contains("file-max"))
        );
        assert_eq!(explain_text("libx.so: cannot open shared object file: No such file or directory"), None);
    }
}
