// SPDX-License-Identifier: MIT OR Apache-2.0
//! What ps(1) shows of this process: the words of its command line, which stand in memory of its own.

use std::{fs, ptr, sync::OnceLock};

/// Shows this instead of the words. Nobody reads those any more.
pub(crate) fn set_title(title: &str) {
    // A process that is forked has it where its parent had it.
    static PLACE: OnceLock<Option<(usize, usize)>> = OnceLock::new();
    let find = || fs::read_to_string("/proc/self/stat").ok().and_then(|stat| words(&stat));
    let Some((begin, length)) = *PLACE.get_or_init(find) else { return };
    let place = ptr::with_exposed_provenance_mut::<u8>(begin);
    // The last byte stays NUL: another one would have the kernel look for the end of the title behind it.
    let shown = title.len().min(length.saturating_sub(1));
    // SAFETY: the kernel says that the words of the command line stand there, on the stack of the process, which stays. They are
    // read at the start of the program alone, which is over; one thread at a time writes here: that of the template, then the keeper.
    unsafe {
        ptr::write_bytes(place, 0, length);
        ptr::copy_nonoverlapping(title.as_ptr(), place, shown);
    }
}

/// The bytes of a name that the kernel shows.
pub(crate) const NAME_MOST: usize = 15;

/// Shows this in the place of the program's name: that of the first thread, whichever calls.
pub(crate) fn name_process(name: &str) {
    // Who looks sees the old one.
    let _ = fs::write(format!("/proc/self/task/{}/comm", std::process::id()), name);
}

/// Where the words stand: proc_pid_stat(5), fields 48 and 49.
fn words(stat: &str) -> Option<(usize, usize)> {
    let mut fields = stat.rsplit_once(") ")?.1.split_whitespace().skip(48 - 3);
    let begin: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    let length = end.checked_sub(begin)?;
    (begin != 0 && (1..1 << 20).contains(&length)).then_some((begin, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_found_behind_any_name() {
        let numbers: Vec<String> = (3..=52).map(|number| (number * 100).to_string()).collect();
        let stat = format!("7 (a) b) {}", numbers.join(" "));
        assert_eq!(words(&stat), Some((4800, 100)));
        assert_eq!(words("7 (a) S 1 2"), None);
        let (begin, length) = words(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert!(begin > 0 && length > 0);
    }
}
