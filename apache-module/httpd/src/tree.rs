// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directives of the configuration as httpd has read them, for what no directive of ours can see: where `SetHandler` stands, and which
//! notes are asked for.

use crate::{sys, text};

/// Where `SetHandler` gives requests to this handler, and nothing there or around it says who may ask: the places, as file and line.
#[must_use]
pub fn unguarded(handler: &str) -> Vec<String> {
    let mut found = Vec::new();
    // SAFETY: httpd's own list, which is whole once the configuration is read, and lives as long as it.
    unsafe {
        walk(sys::ap_conftree, false, &mut |directive, is_guarded| {
            if !is_guarded
                && is(directive, b"SetHandler")
                && arguments(directive).trim_matches('"') == handler
            {
                // SAFETY: a directive of that list.
                let (file, line) = ((*directive).filename, (*directive).line_num);
                found.push(format!("line {line} of {}", String::from_utf8_lossy(text(file))));
            }
        })
    };
    found
}

/// Whether one of these words stands in any directive.
#[must_use]
pub fn mentions(words: &[&str]) -> bool {
    let mut found = false;
    // SAFETY: httpd's own list of directives, which is whole once the configuration is read, and lives as long as it.
    unsafe {
        walk(sys::ap_conftree, false, &mut |directive, _| {
            let arguments = arguments(directive);
            found |= words.iter().any(|word| arguments.contains(word));
        })
    };
    found
}

/// Shows each directive, with whether it is guarded.
///
/// # Safety
/// `first` is NULL or the first of a list of httpd's directives.
unsafe fn walk(
    first: *const sys::ap_directive_t,
    is_guarded: bool,
    show: &mut dyn FnMut(*const sys::ap_directive_t, bool),
) {
    // SAFETY: the caller's list ends with NULL, and so do those within it.
    unsafe {
        let is_guarded = is_guarded || guards(first);
        let mut next = first;
        while let Some(directive) = next.as_ref() {
            show(next, is_guarded);
            walk(directive.first_child, is_guarded, show);
            next = directive.next;
        }
    }
}

/// Whether a `Require` stands in a list, or in the containers that there are for it.
///
/// # Safety
/// As [`walk`].
unsafe fn guards(first: *const sys::ap_directive_t) -> bool {
    // SAFETY: the caller's list of httpd's directives ends with NULL, and so do those within it.
    unsafe {
        let mut next = first;
        while let Some(directive) = next.as_ref() {
            let is_rule = is(next, b"Require") && arguments(next).trim() != "all granted";
            let is_container =
                [&b"<RequireAll"[..], b"<RequireAny", b"<RequireNone"].iter().any(|name| is(next, name));
            if is_rule || is_container && guards(directive.first_child) {
                return true;
            }
            next = directive.next;
        }
        false
    }
}

/// # Safety
/// A directive of httpd's.
unsafe fn is(directive: *const sys::ap_directive_t, name: &[u8]) -> bool {
    // SAFETY: its name is a C string.
    unsafe { text((*directive).directive) }.eq_ignore_ascii_case(name)
}

/// # Safety
/// A directive of httpd's.
unsafe fn arguments<'t>(directive: *const sys::ap_directive_t) -> std::borrow::Cow<'t, str> {
    // SAFETY: what follows its name is a C string, or NULL, and lives as long as the configuration.
    String::from_utf8_lossy(unsafe { text((*directive).args) })
}
