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
}

impl Watch {
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let seen: Vec<_> = files.iter().map(|file| stamp(file)).collect();
        Self { last: seen.clone(), seen, files, may_go: false }
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
        self.seen.clone_from(&self.last);
    }

    fn take(&mut self) -> Option<&Path> {
        let mut pairs = self.seen.iter().zip(&self.last);
        if !self.may_go && pairs.clone().any(|(seen, now)| seen.is_some() && now.is_none()) {
            return None;
        }
        let changed = pairs.position(|(seen, now)| seen != now);
        self.seen.clone_from(&self.last);
        changed.and_then(|at| self.files.get(at)).map(PathBuf::as_path)
    }

    /// Why a file cannot be looked at, but for that it is not there.
    pub(super) fn failure(&self) -> Option<(&Path, io::Error)> {
        self.files.iter().find_map(|file| match fs::metadata(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Some((file.as_path(), error)),
            _ => None,
        })
    }
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
}
