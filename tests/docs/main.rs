// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pages say what the code has: directives, options, defaults, codes, and files that links lead to.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    collections::BTreeSet,
    ffi::CStr,
    fs,
    path::{Path, PathBuf},
};

use gangway::{
    config::{ASYNC_OPTIONS, CGI_OPTIONS, HOST_OPTIONS, MANAGED_OPTIONS, PROGRAM_OPTIONS, SOCKET_OPTIONS},
    engine::{OptionDef, Value},
};
use gangway_abi::ffi::{GW_OPTION_REPEATS, GW_VALUE_SWITCH, gw_option};
use gangway_python_shared::statement;

mod map;

const REFERENCE: &str = include_str!("../../docs/directives.md");
const NGINX: &str = include_str!("../../nginx-module/src/directives/mod.rs");
/// The settings of gangway_pass, which have their own tables in the page.
const SETTINGS: [&str; 2] = [
    include_str!("../../nginx-module/src/directives/upstream/mod.rs"),
    include_str!("../../nginx-module/src/directives/upstream/tls.rs"),
];
const HTTPD: &str = include_str!("../../apache-module/src/directives/mod.rs");
/// Directives of httpd's for scripts that say who may come.
const SCRIPTS: [&str; 3] = ["GangwayAccess", "GangwayAuthnProvider", "GangwayAuthzProvider"];
/// The module for mod_proxy, with directives of its own.
const PROXY: &str = include_str!("../../apache-module/proxy/src/directives.rs");

/// The part of a page below a heading, to the next heading of the same rank.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let rank = heading.split(' ').next().unwrap();
    let found = page.split_once(&format!("\n{heading}\n"));
    let (_, text) = found.unwrap_or_else(|| panic!("there is no \"{heading}\""));
    text.split(&format!("\n{rank} ")).next().unwrap()
}

fn headings<'p>(page: &'p str, rank: &str) -> Vec<&'p str> {
    page.lines().filter_map(|line| line.strip_prefix(rank)?.strip_prefix(' ')).collect()
}

/// C strings in a table of directives that begin like a directive.
fn directives<'s>(source: &'s str, prefix: &str) -> BTreeSet<&'s str> {
    let strings = source.split("c\"").skip(1).filter_map(|rest| rest.split('"').next());
    strings.filter(|text| text.starts_with(prefix) && !text.contains(' ')).collect()
}

#[test]
fn directives_are_those_of_the_server_modules() {
    let nginx = directives(NGINX, "gangway_");
    // The table of httpd is made by a macro, whose strings are Rust's.
    let words = HTTPD.split('"').filter(|word| word.starts_with("Gangway") && !word.contains(' '));
    let httpd: BTreeSet<_> = words.collect();
    assert_eq!((nginx.len(), httpd.len()), (12, 11), "{nginx:?} {httpd:?}");
    let pairs = headings(REFERENCE, "##").into_iter().filter_map(|heading| heading.split_once(", "));
    let (first, second): (BTreeSet<_>, BTreeSet<_>) =
        pairs.filter(|(name, _)| name.starts_with("gangway_")).unzip();
    // For the status httpd has a handler, and its own directive for that.
    let elsewhere = ["SetHandler gangway-status"];
    let second = second.into_iter().filter(|name| !elsewhere.contains(name)).collect();
    assert_eq!((first, second), (nginx.clone(), httpd));
    for name in nginx {
        assert_eq!(
            REFERENCE.matches(&format!("| [`{name}`](#{name}-")).count(),
            1,
            "{name} in the first table"
        );
    }
}

/// The words behind the names of directives in the table of httpd's module: where each may stand.
fn contexts() -> Vec<(&'static str, &'static str)> {
    let lines = HTTPD.lines().filter_map(|line| line.trim().strip_prefix("set_"));
    let words = lines.map(|line| line.split(", ").collect::<Vec<_>>());
    words.filter(|words| words.len() > 2).map(|words| (words[1].trim_matches('"'), words[2])).collect()
}

#[test]
fn tables_of_directives_say_where_those_of_httpd_stand() {
    let python = rows_of(section(REFERENCE, "## Directives of mod_python"));
    let scripts = rows_of(section(REFERENCE, "## Scripts that say who may come"));
    let mut told: Vec<_> = python.into_iter().chain(scripts).collect();
    let is_meant =
        |name: &str| name.starts_with("Python") || name.starts_with("WSGI") || SCRIPTS.contains(&name);
    let mut known: Vec<_> = contexts()
        .into_iter()
        .filter(|(name, _)| is_meant(name))
        .map(|(name, context)| {
            let context = match context {
                "sys::RSRC_CONF" => "server, virtual host",
                "ANYWHERE" => "server, virtual host, sections",
                "FILES" => "server, virtual host, sections, `.htaccess` (FileInfo)",
                "ACCESS" => "server, virtual host, sections, `.htaccess` (FileInfo, AuthConfig)",
                "AUTH" => "sections, `.htaccess` (AuthConfig)",
                other => panic!("{name} stands in {other}"),
            };
            (name.to_owned(), context.to_owned())
        })
        .collect();
    told.sort();
    known.sort();
    assert!(known.len() > 30, "{known:?}");
    assert_eq!(told, known);
}

/// The first word and the last cell of each row of a table of directives.
fn rows_of(text: &str) -> Vec<(String, String)> {
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter(|row| row.contains("server") || row.contains("sections"));
    rows.map(|row| {
        let name = row.split([' ', '`']).next().unwrap();
        let context = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        (name.to_owned(), context.to_owned())
    })
    .collect()
}

#[test]
fn each_directive_of_the_proxy_module_is_explained() {
    let words = PROXY.split('"').filter(|word| word.starts_with("Gangway") && !word.contains(' '));
    let names: BTreeSet<_> = words.filter(|name| !["GangwayPass", "GangwayParam"].contains(name)).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    let text = section(REFERENCE, "## GangwayPass");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `Gangway"));
    let rows: Vec<_> = rows.filter_map(|row| row.split(' ').next()).collect();
    assert_eq!(rows.len(), names.len());
    let rows: BTreeSet<_> = rows.into_iter().map(|name| format!("Gangway{name}")).collect();
    assert_eq!(rows, names.into_iter().map(str::to_owned).collect());
    // Those of the stock modules stand in the guide.
    let guide = include_str!("../../docs/migrate-httpd.md");
    let stock: BTreeSet<_> =
        PROXY.split('"').filter(|word| word.starts_with("Proxy") && !word.contains(' ')).collect();
    assert_eq!(stock.len(), 4, "{stock:?}");
    assert!(stock.iter().all(|name| guide.contains(&format!("`{name}`"))), "{stock:?}");
}

#[test]
fn each_directive_of_mod_python_has_its_state() {
    let page = include_str!("../../docs/mod_python.md");
    let table = section(page, "## Directives");
    let names: BTreeSet<_> =
        HTTPD.split('"').filter(|word| word.starts_with("Python") && !word.contains(' ')).collect();
    assert!(names.len() > 20, "{names:?}");
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| `Python")).collect();
    for name in names {
        let found =
            rows.iter().filter(|row| row.split(" | ").next().unwrap().contains(&format!("`{name}`"))).count();
        assert_eq!(found, 1, "{name}");
    }
}

#[test]
fn each_directive_has_syntax_default_and_context() {
    for heading in headings(REFERENCE, "##").into_iter().filter(|heading| heading.starts_with("gangway_")) {
        let text = section(REFERENCE, &format!("## {heading}"));
        for word in ["| Syntax |", "| Default |", "| Context |"] {
            assert!(text.contains(word), "{heading} lacks {word}");
        }
    }
}

/// The word after "| `" in each row of a table, as far as it is the name of a directive.
fn rows(text: &str) -> Vec<&str> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `gangway_"));
    rows.filter_map(|row| row.split([' ', '`']).next()).collect()
}

#[test]
fn each_setting_of_gangway_pass_has_one_row() {
    let mut settings: BTreeSet<_> =
        SETTINGS.iter().flat_map(|source| directives(source, "gangway_")).collect();
    assert!(settings.remove("gangway_pass"), "{settings:?}");
    assert!(settings.len() > 70, "{settings:?}");
    let settings: Vec<_> = settings.into_iter().filter_map(|name| name.strip_prefix("gangway_")).collect();
    let mut rows = rows(section(REFERENCE, "## Settings of gangway_pass"));
    rows.sort_unstable();
    assert_eq!(rows, settings);
}

#[test]
fn each_row_of_a_setting_has_its_default_and_its_meaning() {
    let text = section(REFERENCE, "## Settings of gangway_pass");
    for row in text.lines().filter(|line| line.starts_with("| `gangway_")) {
        let cells: Vec<_> =
            row.trim_matches('|').replace("\\|", "or").split('|').map(str::to_owned).collect();
        assert_eq!(cells.len(), 3, "{row}");
        assert!(cells.iter().all(|cell| cell.trim().len() > 1 || cell.trim() == "0"), "{row}");
    }
}

/// The options of the Python engine, as it states them, and those of every application.
fn options() -> Vec<OptionDef> {
    let stated = statement::OPTIONS.iter().map(|option| stated(option.get()));
    stated.chain(HOST_OPTIONS.iter().copied()).collect()
}

/// What an application on an event loop has besides them.
fn asgi_options() -> Vec<OptionDef> {
    let stated = statement::LOOP_OPTIONS.iter().map(|option| stated(option.get()));
    stated.chain(ASYNC_OPTIONS.iter().chain(SOCKET_OPTIONS).copied()).collect()
}

fn stated(option: &'static gw_option) -> OptionDef {
    // SAFETY: constant strings.
    let text = |text| unsafe { CStr::from_ptr::<'static>(text) }.to_str().unwrap();
    assert!(!text(option.help).is_empty());
    OptionDef {
        name: text(option.name),
        value: if option.value == GW_VALUE_SWITCH { Value::Switch } else { Value::Text },
        repeats: option.flags & GW_OPTION_REPEATS != 0,
        default: text(option.default_text),
    }
}

/// The tables with the headings of their sections.
fn tables() -> [(&'static str, Vec<OptionDef>); 4] {
    let of_processes = [MANAGED_OPTIONS, PROGRAM_OPTIONS].concat();
    [
        ("## Options", options()),
        ("## ASGI options", asgi_options()),
        ("## CGI options", CGI_OPTIONS.to_vec()),
        ("## Options of processes", of_processes),
    ]
}

#[test]
fn options_are_those_of_the_table_in_its_order() {
    let mut before = BTreeSet::new();
    for (heading, table) in tables() {
        let names: Vec<_> = table.iter().map(|option| option.name).collect();
        assert_eq!(headings(section(REFERENCE, heading), "###"), names);
        for name in names {
            // A renderer gives the name of a heading to the first one that has it.
            let anchor = if before.insert(name) { name.to_owned() } else { anchor(heading) };
            assert!(REFERENCE.contains(&format!("[{name}](#{anchor})")), "nothing leads to {name}");
        }
    }
}

#[test]
fn each_option_has_its_syntax_and_its_default() {
    for (heading, option) in
        tables().iter().flat_map(|(heading, table)| table.iter().map(|option| (*heading, option)))
    {
        let text = section(section(REFERENCE, heading), &format!("### {}", option.name));
        let line = |word: &str| text.lines().find_map(|line| line.strip_prefix(word));
        let syntax = line("Syntax: ").unwrap_or_else(|| panic!("{} lacks its syntax", option.name));
        assert!(syntax.starts_with(&format!("`{}=", option.name)), "{syntax}");
        assert_eq!(line("Default: "), Some(option.default), "{}", option.name);
        match option.value {
            Value::Count(least, most) => {
                assert!(syntax.ends_with(&format!(", {least} to {most}")), "{syntax}");
            }
            Value::Switch => assert_eq!(syntax, format!("`{0}=on` or `{0}=off`", option.name)),
            Value::Word(words) => {
                words.iter().for_each(|word| assert!(syntax.contains(word), "{syntax} lacks {word}"));
            }
            _ => {}
        }
        let repeats = text.contains("May be given several times");
        assert_eq!(repeats, option.repeats, "{}", option.name);
    }
}

/// README.md and its kin, every page of docs/, and those of the tests and benchmarks.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["", "docs", "docs/decisions", "benches", "tests"].map(|folder| root.join(folder));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let pages = files.map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The name of a heading in a link, as the usual renderers of Markdown make it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|char| char.is_alphanumeric() || "-_".contains(*char)).collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let pages = pages();
    assert!(pages.len() > 5);
    for (path, text) in &pages {
        let links = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", path.display());
            if !fragment.is_empty() {
                let page = fs::read_to_string(&target).unwrap();
                let found = page.lines().any(|line| line.starts_with('#') && anchor(line) == fragment);
                assert!(found, "{}: {link} names no heading", path.display());
            }
        }
    }
}

#[test]
fn codes_that_pages_mention_exist() {
    let errors = include_str!("../../docs/errors.md");
    for (path, text) in pages() {
        let codes = text.match_indices("GW").filter_map(|(at, _)| text.get(at..at + 6));
        let codes = codes.filter(|code| code.bytes().skip(2).all(|byte| byte.is_ascii_digit()));
        for code in codes {
            assert!(errors.contains(&format!("\n### {code} ")), "{}: {code}", path.display());
        }
    }
}

/// What stands between backticks and begins with a folder of the repository.
fn paths(text: &str) -> Vec<&str> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let words = text.split('`').skip(1).step_by(2);
    let words = words.filter(|word| !word.contains(char::is_whitespace));
    let is_ours = |word: &&str| word.split_once('/').is_some_and(|(top, _)| root.join(top).is_dir());
    words.map(|word| word.split("::").next().unwrap()).filter(is_ours).collect()
}

/// Blocks of code have backticks of their own.
fn prose(page: &str) -> String {
    page.split("```").step_by(2).collect()
}

#[test]
fn paths_in_the_map_the_decisions_and_contributing_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_meant = |path: &Path| {
        let path = path.strip_prefix(root).unwrap();
        path.starts_with("docs/decisions")
            || path == Path::new("docs/architecture.md")
            || path == Path::new("CONTRIBUTING.md")
    };
    let mut found = 0;
    for (page, text) in pages().into_iter().filter(|(page, _)| is_meant(page)) {
        // What is to come has no path yet; the folder that it will stand in exists.
        let text = prose(&text);
        let (now, later) = text.split_once("\n## What comes next").unwrap_or((&text, ""));
        for path in paths(now) {
            assert!(root.join(path).exists(), "{}: there is no {path}", page.display());
            found += 1;
        }
        for path in paths(later) {
            let folder = root.join(path.trim_end_matches('/'));
            assert!(folder.parent().is_some_and(Path::exists), "{}: no folder for {path}", page.display());
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn each_decision_has_its_parts_and_its_line_in_the_index() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/decisions");
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut numbers = BTreeSet::new();
    for (path, text) in pages().into_iter().filter(|(path, _)| path.parent() == Some(&folder)) {
        let file = path.file_name().unwrap().to_str().unwrap();
        if file == "README.md" {
            continue;
        }
        let title = text.lines().next().unwrap().trim_start_matches("# ");
        let (number, title) = title.split_once(". ").unwrap_or_else(|| panic!("{file}: no number"));
        assert_eq!(file[..4].parse::<u32>().ok(), number.parse().ok(), "{file}");
        assert!(numbers.insert(number.to_owned()), "two decisions have the number {number}");
        assert!(index.contains(&format!("| {number} | [{title}]({file}) |")), "{file} is not in the index");
        let headings = headings(&text, "##");
        assert_eq!(headings, ["Context", "Decision", "Consequence"], "{file}");
    }
    assert_eq!(index.matches("\n| ").count(), numbers.len() + 2, "the index has a line too many");
}

/// `<!-- test: NAME -->` before a block: a step of tests/packages/ runs it as it stands. `<!-- elsewhere: PATH -->`: it needs what no test has, and
/// the file that is named does the same.
#[test]
fn each_block_of_the_install_page_is_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let steps: String = fs::read_dir(root.join("tests/packages"))
        .unwrap()
        .map(|step| fs::read_to_string(step.unwrap().path()).unwrap())
        .collect();
    let words: Vec<_> = steps.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
    let mut before = "";
    let mut found = 0;
    for line in include_str!("../../docs/install.md").lines() {
        if line == "```sh" {
            let comment = before.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
            match comment.and_then(|text| text.split_once(": ")) {
                Some(("test", name)) => {
                    assert!(words.windows(2).any(|pair| pair == ["block", name]), "no step runs \"{name}\"");
                }
                Some(("elsewhere", path)) => assert!(root.join(path).is_file(), "there is no {path}"),
                _ => panic!("a block of docs/install.md says not what runs it: after {before:?}"),
            }
            found += 1;
        }
        before = line;
    }
    assert!(found > 10, "{found}");
}
