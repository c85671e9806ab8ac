// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether files have changed: by their times, sizes and numbers. Who replaces a file by another one takes it away for a moment,
//! and who writes a long one does so in parts: a file that is not there is waited for.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// How a line begins by which a process names a file that it was loaded from.
const REPORT: &[u8] = b"\x01file ";
/// Files that are reported: an application may say what it likes.
const MOST: usize = 2000;

/// The file that a line of a process's output names, if it is such a line.
pub(super) fn reported(line: &[u8]) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(line.strip_prefix(REPORT)?));
    path.is_absolute().then(|| path.to_owned())
}

/// What is seen of a file, if it is there.
type FileStamp = Option<[i64; 5]>;

#[derive(Default)]
pub(super) struct Watch {
    files: Vec<PathBuf>,
    /// What counts until a change has been told.
    seen: Vec<FileStamp>,
    last: Vec<FileStamp>,
    /// A file that has gone has changed: there are many, and some of them go for good.
    may_go: bool,
    /// What counts is not what it was when [`Watch::remember`] was asked last.
    is_new: bool,
}

impl Watch {
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let seen: Vec<_> = files.iter().map(|file| stamp(file)).collect();
        Self { last: seen.clone(), seen, is_new: !files.is_empty(), files, may_go: false }
    }

    /// One for files that are reported, of which there are none yet.
    pub(super) fn of_reported() -> Self {
        Self { may_go: true, ..Self::default() }
    }

    /// Another file.
    pub(super) fn add(&mut self, file: PathBuf) {
        if self.files.len() < MOST && !self.files.contains(&file) {
            let now = stamp(&file);
            self.files.push(file);
            self.seen.push(now);
            self.last.push(now);
            self.is_new = true;
        }
    }

    /// Looks. Answers a file that has changed, once it has been the same twice.
    pub(super) fn look(&mut self) -> Option<&Path> {
        let before = std::mem::take(&mut self.last);
        self.last = self.files.iter().map(|file| stamp(file)).collect();
        if before == self.last { self.take() } else { None }
    }

    /// Looks, and answers a file that has changed at once.
    pub(super) fn look_now(&mut self) -> Option<&Path> {
        self.last = self.files.iter().map(|file| stamp(file)).collect();
        self.take()
    }

    /// What is there counts from now on.
    pub(super) fn forget(&mut self) {
        self.last = self.files.iter().map(|file| stamp(file)).collect();
        self.is_new |= self.seen != self.last;
        self.seen.clone_from(&self.last);
    }

    fn take(&mut self) -> Option<&Path> {
        let mut pairs = self.seen.iter().zip(&self.last);
        if !self.may_go && pairs.clone().any(|(seen, now)| seen.is_some() && now.is_none()) {
            return None;
        }
        let changed = pairs.position(|(seen, now)| seen != now);
        self.is_new |= changed.is_some();
        self.seen.clone_from(&self.last);
        changed.and_then(|at| self.files.get(at)).map(PathBuf::as_path)
    }

    /// Whether there is something to [`Watch::remember`] that was not there the last time.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Writes a line for each file, with what counts of it, for who watches after this process.
    pub(super) fn remember(&mut self, kind: char, out: &mut Vec<u8>) {
        self.is_new = false;
        for (file, seen) in self.files.iter().zip(&self.seen) {
            let name = file.as_os_str().as_bytes();
            // Words of a configuration may hold anything.
            if name.contains(&b'\n') {
                continue;
            }
            let numbers =
                seen.map_or_else(String::new, |seen| seen.map(|number| number.to_string()).join(" "));
            out.extend_from_slice(format!("{kind} {numbers}\t").as_bytes());
            out.extend_from_slice(name);
            out.push(b'\n');
        }
    }

    /// Takes the lines of a kind that another one has written: what has changed since then is a change. One for files that
    /// are reported has them from there.
    pub(super) fn recall(&mut self, kind: char, text: &[u8]) {
        let before = format!("{kind} ");
        for line in text.split(|byte| *byte == b'\n') {
            let Some((file, seen)) = line.strip_prefix(before.as_bytes()).and_then(remembered) else {
                continue;
            };
            if self.may_go {
                self.add(file.clone());
            }
            let known = self.files.iter().position(|other| *other == file);
            if let Some(place) = known.and_then(|at| self.seen.get_mut(at)) {
                *place = seen;
            }
        }
    }

    /// Why a file cannot be looked at, but for that it is not there.
    pub(super) fn failure(&self) -> Option<(&Path, io::Error)> {
        self.files.iter().find_map(|file| match fs::metadata(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Some((file.as_path(), error)),
            _ => None,
        })
    }
}

/// A line of [`Watch::remember`], without its kind.
fn remembered(line: &[u8]) -> Option<(PathBuf, FileStamp)> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let (numbers, name) = (line.get(..tab)?, line.get(tab + 1..)?);
    let numbers: Vec<i64> = std::str::from_utf8(numbers)
        .ok()?
        .split_ascii_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let seen = if numbers.is_empty() { None } else { Some(<[i64; 5]>::try_from(numbers).ok()?) };
    Some((OsStr::from_bytes(name).into(), seen))
}

fn stamp(file: &Path) -> FileStamp {
    let found = fs::metadata(file).ok().filter(fs::Metadata::is_file)?;
    let number = |number: u64| number as i64;
    Some([number(found.dev()), number(found.ino()), number(found.size()), found.mtime(), found.mtime_nsec()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_when_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::write(&one, "1").unwrap();
        let mut watch = Watch::new(vec![one.clone(), two.clone(), folder.path().to_owned()]);
        assert_eq!(watch.look(), None);
        assert!(watch.failure().is_none());
        fs::write(&one, "12").unwrap();
        assert_eq!(watch.look(), None, "it may still be written");
        assert_eq!(watch.look(), Some(one.as_path()));
        assert_eq!(watch.look(), None);
        fs::remove_file(&one).unwrap();
        assert_eq!(watch.look(), None, "it may be about to come back");
        assert_eq!(watch.look(), None);
        fs::write(&one, "123").unwrap();
        assert_eq!(watch.look(), None);
        assert_eq!(watch.look(), Some(one.as_path()));
        fs::write(&two, "").unwrap();
        assert_eq!(watch.look_now(), Some(two.as_path()));
        assert_eq!(watch.look_now(), None);
        // Another file with the same name, length and time.
        let other = folder.path().join("other");
        fs::write(&other, "").unwrap();
        let time = fs::metadata(&two).unwrap().modified().unwrap();
        fs::File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
        fs::rename(&other, &two).unwrap();
        assert_eq!(watch.look_now(), Some(two.as_path()));
        let watch = Watch::new(vec![one.join("below a file")]);
        assert!(watch.failure().is_some());
    }

    #[test]
    fn what_is_reported_may_go() {
        let folder = tempfile::tempdir().unwrap();
        let one = folder.path().join("one");
        fs::write(&one, "1").unwrap();
        let line = [b"\x01file ", one.as_os_str().as_bytes()].concat();
        let mut watch = Watch::of_reported();
        for _ in 0..2 {
            watch.add(reported(&line).unwrap());
        }
        assert_eq!((watch.files.len(), watch.look()), (1, None));
        fs::remove_file(&one).unwrap();
        assert_eq!(watch.look(), None);
        assert_eq!(watch.look(), Some(one.as_path()));
        assert_eq!(watch.look(), None);
        for line in [&b"\x01file one"[..], b"file /one", b"\x01", b""] {
            assert_eq!(reported(line), None);
        }
    }

    #[test]
    fn who_takes_over_sees_what_has_changed_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let [code, gone, same, other] = ["code", "gone", "same", "other"].map(path);
        for file in [&code, &gone, &same, &other] {
            fs::write(file, "1").unwrap();
        }
        let (mut own, mut reported) = (Watch::new(vec![code.clone(), path("missing")]), Watch::of_reported());
        for file in [&gone, &same] {
            reported.add(file.clone());
        }
        assert!(own.is_new() && reported.is_new());
        let mut text = Vec::new();
        own.remember('c', &mut text);
        reported.remember('r', &mut text);
        assert!(!own.is_new() && !reported.is_new());
        fs::remove_file(&gone).unwrap();
        fs::write(&code, "12").unwrap();
        // The words name another file meanwhile, and what they do not name is not looked at.
        let (mut own, mut reported) = (Watch::new(vec![code.clone(), other]), Watch::of_reported());
        own.recall('c', &text);
        reported.recall('r', &text);
        assert_eq!((own.files.len(), reported.files.len()), (2, 2));
        assert_eq!((own.look(), reported.look()), (Some(code.as_path()), Some(gone.as_path())));
        assert!(own.is_new() && reported.is_new());
        assert_eq!((own.look(), reported.look()), (None, None));
        for text in [
            &b""[..],
            b"r",
            b"r 1 2 3\t/x",
            b"r 1 2 3 4 5",
            b"c 1 2 3 4 5\t/x",
            b"r \xff\t/x",
            b"r 1 2 3 4 x\t/x",
        ] {
            let mut watch = Watch::of_reported();
            watch.recall('r', text);
            assert!(watch.files.is_empty(), "{text:?}");
        }
    }
}
