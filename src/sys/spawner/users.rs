// SPDX-License-Identifier: MIT OR Apache-2.0
//! Users of this machine: getpwnam_r(3), getgrnam_r(3), getgrouplist(3).

use std::{
    ffi::{CStr, CString, c_char},
    mem::MaybeUninit,
    ptr,
};

use crate::rights::Identity;

/// suexec refuses numbers below these (AP_UID_MIN and AP_GID_MIN of the usual builds).
const LEAST: u32 = 100;
/// Bytes for the strings of an entry.
const ROOM: usize = 64 * 1024;

/// Whether this process may become somebody else.
#[must_use]
pub fn is_root() -> bool {
    // SAFETY: it has no conditions.
    unsafe { libc::geteuid() == 0 }
}

/// The user of `user=NAME` or `user=NAME:GROUP`.
///
/// # Errors
/// What is wrong with it, with the cure.
pub fn lookup(text: &str) -> Result<Identity, String> {
    let (name, group_name) = match text.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (text, None),
    };
    let c_name = CString::new(name).map_err(|_| "it holds a NUL byte".to_owned())?;
    let (user, primary) = user_numbers(&c_name).ok_or_else(|| {
        format!("there is no user \"{name}\" on this machine; create it or correct the name")
    })?;
    let group = match group_name {
        None => primary,
        Some(group) => CString::new(group).ok().and_then(|name| group_number(&name)).ok_or_else(|| {
            format!("there is no group \"{group}\" on this machine; create it or correct the name")
        })?,
    };
    if user < LEAST || group < LEAST {
        return Err(format!(
            "scripts do not run as root or a system account (user {user}, group {group}, suexec's least is {LEAST}); \
             use an account of the site's owner"
        ));
    }
    Ok(Identity { name: text.to_owned(), user, group, groups: groups(&c_name, group) })
}

/// An account that somebody else has looked up, with the groups of its name.
#[must_use]
pub fn account(name: &CStr, user: u32, group: u32) -> Identity {
    let shown = name.to_string_lossy().into_owned();
    Identity { name: shown, user, group, groups: groups(name, group) }
}

/// The user that this process is.
#[must_use]
pub fn own_account() -> Identity {
    let mut room = [0; 1024];
    // SAFETY: the first two have no conditions; of the third, 1024 numbers are writable, and the call says how many it wrote.
    let (user, group, count) =
        unsafe { (libc::geteuid(), libc::getegid(), libc::getgroups(1024, room.as_mut_ptr())) };
    Identity { name: user.to_string(), user, group, groups: first(&room, count) }
}

fn user_numbers(name: &CStr) -> Option<(u32, u32)> {
    let mut strings = vec![0 as c_char; ROOM];
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let mut found = ptr::null_mut();
    // SAFETY: all places are writable, of the sizes that are said; `found` is NULL or the filled entry.
    unsafe {
        let (room, size) = (strings.as_mut_ptr(), strings.len());
        libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), room, size, &raw mut found);
        found.as_ref().map(|entry| (entry.pw_uid, entry.pw_gid))
    }
}

fn group_number(name: &CStr) -> Option<u32> {
    let mut strings = vec![0 as c_char; ROOM];
    let mut entry = MaybeUninit::<libc::group>::uninit();
    let mut found = ptr::null_mut();
    // SAFETY: the name ends with NUL; the entry, the strings of the said size and the result are this function's own; `found` is NULL or
    // the filled entry.
    unsafe {
        let (room, size) = (strings.as_mut_ptr(), strings.len());
        libc::getgrnam_r(name.as_ptr(), entry.as_mut_ptr(), room, size, &raw mut found);
        found.as_ref().map(|entry| entry.gr_gid)
    }
}

/// All groups of a user, never those of root or the system beyond what the user has.
fn groups(name: &CStr, group: u32) -> Vec<u32> {
    let mut room = [0; 1024];
    let mut count = 1024;
    // SAFETY: `count` numbers are writable; the call says how many it wrote.
    let known = unsafe { libc::getgrouplist(name.as_ptr(), group, room.as_mut_ptr(), &raw mut count) };
    first(&room, if known < 0 { 0 } else { count })
}

/// So many of them, in no more memory than they need: the server keeps them for each application.
fn first(room: &[u32], count: i32) -> Vec<u32> {
    room.get(..usize::try_from(count).unwrap_or(0)).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_unknown_users_are_refused_with_the_cure() {
        assert!(lookup("root").unwrap_err().contains("do not run as root"));
        assert!(lookup("no-such-user").unwrap_err().contains("create it"));
        assert!(lookup("nobody:no-such-group").unwrap_err().contains("no group"));
        assert!(lookup("nobody:root").unwrap_err().contains("group 0"));
    }

    #[test]
    fn a_user_has_numbers_and_groups() {
        let nobody = lookup("nobody").unwrap();
        assert!(nobody.user >= LEAST && nobody.group >= LEAST);
        assert!(nobody.groups.contains(&nobody.group));
    }
}
