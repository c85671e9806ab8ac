// SPDX-License-Identifier: MIT OR Apache-2.0
//! tools/release.sh refuses a release of which two files say different things: each case spoils one file of a small repository that has what is
//! compared, and wants the line that says so.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const COMPARED: [&str; 5] = ["Cargo.toml", "Cargo.lock", "CHANGELOG.md", "include/gangway.h", "tools/lib.sh"];

/// A repository that is ready to be released.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(TempDir::new().unwrap());
        let from = Path::new(env!("CARGO_MANIFEST_DIR"));
        for path in COMPARED.iter().chain(&["tools/release.sh"]) {
            let to = repository.0.path().join(path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from.join(path), to).unwrap();
        }
        fs::write(repository.0.path().join(".gitignore"), "build\n").unwrap();
        let changes = repository.0.path().join("CHANGELOG.md");
        fs::write(&changes, dated(&fs::read_to_string(&changes).unwrap(), "2027-01-31")).unwrap();
        repository.git(&["init", "--quiet"]);
        repository.commit();
        repository
    }

    fn git(&self, words: &[&str]) {
        let identity =
            ["-c", "user.name=Tests", "-c", "user.email=tests@example.org", "-c", "commit.gpgsign=false"];
        let done =
            Command::new("git").args(identity).args(words).current_dir(self.0.path()).output().unwrap();
        assert!(done.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=a release"]);
    }

    fn change(&self, path: &str, change: impl FnOnce(&str) -> String) {
        let path = self.0.path().join(path);
        let before = fs::read_to_string(&path).unwrap();
        let after = change(&before);
        assert_ne!(before, after, "{} is as before", path.display());
        fs::write(path, after).unwrap();
    }

    fn check(&self, version: &str) -> Output {
        let script = self.0.path().join("tools/release.sh");
        Command::new("bash").arg(script).arg(version).env("CHECK", "only").output().unwrap()
    }

    /// The release is refused with a line for each reason, in this order, and the last line, which says that it is refused.
    fn refused(&self, reasons: &[&str]) {
        let answer = self.check(VERSION);
        let said = String::from_utf8(answer.stderr).unwrap();
        assert!(!answer.status.success(), "it is not refused for: {reasons:?}");
        assert_eq!(said.lines().count(), reasons.len() + 1, "{said}");
        for (line, reason) in said.lines().zip(reasons.iter().chain(&["is not consistent"])) {
            assert!(line.contains(reason), "\"{line}\" says nothing of: {reason}");
        }
    }
}

#[test]
fn what_agrees_is_released() {
    let answer = Repository::new().check(VERSION);
    let said = String::from_utf8(answer.stdout).unwrap();
    assert!(answer.status.success(), "{said}{}", String::from_utf8_lossy(&answer.stderr));
    assert!(said.contains(&format!("everything says {VERSION}, ABI ")), "{said}");
}

#[test]
fn a_version_is_three_numbers() {
    for version in ["", "1", "1.0", "v1.0.0", "1.0.0-rc1"] {
        let answer = Repository::new().check(version);
        assert!(!answer.status.success(), "{version}");
        assert!(String::from_utf8_lossy(&answer.stderr).contains("which version?"), "{version}");
    }
}

#[test]
fn another_version_is_refused_by_all_that_say_one() {
    let answer = Repository::new().check("99.0.0");
    let said = String::from_utf8(answer.stderr).unwrap();
    assert!(!answer.status.success());
    for name in ["Cargo.toml says", "Cargo.lock of gangway says", "CHANGELOG.md begins with"] {
        assert!(said.contains(name), "{name}: {said}");
    }
}

/// What is spoiled, how, and what the lines say.
type Case = (&'static str, fn(&str) -> String, &'static [&'static str]);

#[test]
fn files_that_disagree_are_refused() {
    let cases: [Case; 6] = [
        ("CHANGELOG.md", |text| dated(text, "unreleased"), &["CHANGELOG.md begins with"]),
        (
            "CHANGELOG.md",
            |text| text.replace("gangway.h`, version ", "gangway.h`, number "),
            &["CHANGELOG.md does not name version"],
        ),
        (
            "Cargo.lock",
            |text| text.replace(&locked("gangway-host", VERSION), &locked("gangway-host", "0.0.1")),
            &["Cargo.lock of gangway-host says"],
        ),
        (
            "Cargo.toml",
            |text| text.replacen(&format!("version = \"{VERSION}\""), "version = \"0.0.1\"", 1),
            &["Cargo.toml says \"0.0.1\""],
        ),
        (
            "include/gangway.h",
            |text| format!("{text}/*\n *   9.9  tomorrow\n */\n"),
            &["the history in include/gangway.h says \"9.9\""],
        ),
        (
            "include/gangway.h",
            |text| text.replacen("#define GW_ABI_MINOR ", "#define GW_ABI_MINOR 9", 1),
            &["the history in include/gangway.h says", "CHANGELOG.md does not name version"],
        ),
    ];
    for (path, spoil, reasons) in cases {
        let repository = Repository::new();
        repository.change(path, spoil);
        repository.commit();
        repository.refused(reasons);
    }
}

/// The changelog, whose newest section is of this day.
fn dated(changelog: &str, day: &str) -> String {
    let (before, rest) = changelog.split_once("\n## ").unwrap();
    format!("{before}\n## {VERSION} ({day})\n{}", rest.split_once('\n').unwrap().1)
}

fn locked(name: &str, version: &str) -> String {
    format!("name = \"{name}\"\nversion = \"{version}\"")
}

#[test]
fn what_is_not_committed_is_not_released() {
    let repository = Repository::new();
    fs::write(repository.0.path().join("new"), "").unwrap();
    repository.refused(&["not committed"]);
}

#[test]
fn the_tag_is_that_of_the_commit() {
    let repository = Repository::new();
    repository.git(&["tag", &format!("v{VERSION}")]);
    assert!(repository.check(VERSION).status.success());
    repository.commit();
    repository.refused(&[&format!("the tag v{VERSION} says")]);
}

#[test]
fn a_release_is_later_than_those_before() {
    let repository = Repository::new();
    repository.git(&["tag", "v0.0.1"]);
    assert!(repository.check(VERSION).status.success());
    repository.git(&["tag", "v99.0.0"]);
    repository.refused(&["99.0.0 was released, which is later than"]);
}

/// A member more is a minor version more; a comment is not.
#[test]
fn a_contract_that_has_changed_has_another_version() {
    let repository = Repository::new();
    repository.git(&["tag", "v0.0.1"]);
    repository.change("include/gangway.h", |text| format!("{text}/* a remark */\n"));
    repository.commit();
    assert!(repository.check(VERSION).status.success(), "a comment is no part of the contract");
    repository.change("include/gangway.h", |text| format!("{text}typedef int gw_more;\n"));
    repository.commit();
    repository.refused(&["include/gangway.h is not that of v0.0.1, and both say"]);
}

/// From the release before on, versions only grow, and none is forgotten.
#[test]
fn the_history_of_the_contract_goes_on() {
    let header = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/gangway.h")).unwrap();
    let minor: u32 =
        header.split_once("#define GW_ABI_MINOR ").unwrap().1.lines().next().unwrap().parse().unwrap();
    for (version, reasons) in [(minor + 1, ["has no 1.", "and v0.0.1 said 1."].as_slice()), (minor - 1, &[])]
    {
        let repository = Repository::new();
        let now = format!("#define GW_ABI_MINOR {minor}\n");
        let then = format!("#define GW_ABI_MINOR {version}\n");
        repository.change("include/gangway.h", |text| text.replace(&now, &then));
        repository.commit();
        repository.git(&["tag", "v0.0.1"]);
        repository.change("include/gangway.h", |text| text.replace(&then, &now));
        repository.commit();
        if reasons.is_empty() {
            assert!(repository.check(VERSION).status.success());
        } else {
            repository.refused(reasons);
        }
    }
}
