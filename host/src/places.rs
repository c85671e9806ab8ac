// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an application of `user=` is loaded from, looked at as suexec looks at a program and its directory: `gangway-host`, which is what
//! is executed, is the machine's own, and says nothing of whose code it is about to run.

use std::{
    ffi::OsStr,
    fs::{self, Metadata},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use gangway::{
    config::ApplicationConf,
    phases::{HandlerPlace, RequestPhase},
    sys::{own_group, own_user},
};

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// Who may change code that runs as this user.
#[derive(Clone, Copy, Debug)]
struct CodeOwner {
    user: u32,
    group: u32,
}

/// Looks at `root=` and at what the target names, below it or elsewhere. A native handler's file is opened before that, by the server too.
///
/// # Errors
/// Which of them others may change, with the cure.
pub(crate) fn check(config: &ApplicationConf, handlers: Option<&HandlerPlace>) -> Result<(), String> {
    let owner = CodeOwner { user: own_user(), group: own_group() };
    let spec = config.spec();
    let root = spec.options.iter().find(|(key, _)| key == "root").map(|(_, value)| value.as_slice());
    let mut places = named(root, &spec.target);
    for handler in handlers.into_iter().flat_map(|place| place.handlers(RequestPhase::Content)) {
        places.extend(named(Some(handler.directory).filter(|root| !root.is_empty()), handler.name));
    }
    places.into_iter().try_for_each(|place| look_at(&place, owner))
}

/// `root=`, and what a target below it or elsewhere names: `blog.wsgi:app`, `blog.wsgi::handler` or `/srv/blog/wsgi.py:app`.
fn named(root: Option<&[u8]>, target: &[u8]) -> Vec<PathBuf> {
    let root = root.map(|root| Path::new(OsStr::from_bytes(root)));
    let place = target.split(|byte| *byte == b':').next().unwrap_or_default();
    let mut found: Vec<PathBuf> = root.map(Path::to_owned).into_iter().collect();
    if place.starts_with(b"/") {
        let file = Path::new(OsStr::from_bytes(place));
        found.extend(file.parent().map(Path::to_owned).into_iter().chain([file.to_owned()]));
    } else if let Some(root) = root {
        let mut below = root.to_owned();
        for part in place.split(|byte| *byte == b'.').filter(|part| !part.is_empty()) {
            found.extend(called(&below, part));
            below.push(OsStr::from_bytes(part));
        }
    }
    found
}

/// What has this name in a directory, whatever its suffix.
fn called(directory: &Path, name: &[u8]) -> impl Iterator<Item = PathBuf> {
    let is_called = move |path: &PathBuf| path.file_stem().is_some_and(|stem| stem.as_bytes() == name);
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).filter(is_called)
}

/// What is not there, or is no business of this user, whoever loads it says.
fn look_at(place: &Path, owner: CodeOwner) -> Result<(), String> {
    let Ok(found) = fs::metadata(place) else { return Ok(()) };
    let Some((who, cure)) = stranger(&found, owner) else { return Ok(()) };
    Err(format!(
        "\"{}\" {who}, so that others than the user of user= choose what runs: {cure}",
        place.display()
    ))
}

/// Who beside this user, its group and root may change it, and what helps.
fn stranger(found: &Metadata, owner: CodeOwner) -> Option<(String, &'static str)> {
    let mode = found.permissions().mode();
    if found.uid() != owner.user && found.uid() != 0 {
        return Some((format!("belongs to user {}", found.uid()), "chown it to that user or to root"));
    }
    if mode & OTHERS_WRITE != 0 {
        return Some(("can be written by everybody".to_owned(), "chmod o-w"));
    }
    let is_strange = found.gid() != owner.group && found.gid() != 0;
    (mode & GROUP_WRITES != 0 && is_strange).then(|| {
        (format!("can be written by group {}", found.gid()), "chmod g-w, or give it to the user's group")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_names() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("blog")).unwrap();
        for name in ["blog/wsgi.py", "blog/other.py", "single.py"] {
            fs::write(root.join(name), "").unwrap();
        }
        let names = |root: Option<&Path>, target: &str| {
            let found = named(root.map(|root| root.as_os_str().as_bytes()), target.as_bytes());
            let short =
                |path: &PathBuf| path.strip_prefix(folder.path()).unwrap_or(path).display().to_string();
            found.iter().map(short).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(Some(root), "blog.wsgi:app"), " blog blog/wsgi.py");
        assert_eq!(names(Some(root), "blog.wsgi::handler"), " blog blog/wsgi.py");
        assert_eq!(names(Some(root), "single"), " single.py");
        assert_eq!(names(Some(root), "..:"), "");
        assert_eq!(names(None, "blog.wsgi:app"), "");
        assert_eq!(names(None, "/srv/blog/wsgi.py:app"), "/srv/blog /srv/blog/wsgi.py");
    }

    #[test]
    fn who_may_change_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        fs::write(&place, "").unwrap();
        let mine = CodeOwner { user: own_user(), group: own_group() };
        let his = CodeOwner { group: own_group() + 1, ..mine };
        let look = |mode: u32, owner: CodeOwner| {
            fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
            look_at(&place, owner).err().unwrap_or_default()
        };
        assert_eq!(look(0o755, mine), "");
        assert_eq!(look(0o775, mine), "");
        assert!(look(0o757, mine).contains("can be written by everybody"));
        // Everything is root's here, where root runs this.
        if mine.user != 0 {
            assert!(look(0o775, his).contains("can be written by group"));
            let another = CodeOwner { user: mine.user + 1, ..mine };
            assert!(look(0o755, another).contains("belongs to user"));
        }
        assert_eq!(look_at(&folder.path().join("nothing"), mine), Ok(()));
    }
}
