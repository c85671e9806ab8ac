// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much there is to read at once: lines of a file, and of a function; in Rust, Python and shell.

use std::{
    fs,
    path::{Path, PathBuf},
};

use syn::{Attribute, ImplItemFn, ItemFn, ItemMod, TraitItemFn, spanned::Spanned, visit::Visit};

use crate::tree::is_for_tests;

/// Lines of a file of product code, with the tests that stand in it.
const FILE: usize = 450;
/// Lines of a function, from its name to its last brace.
const FUNCTION: usize = 60;

/// What is too long below a folder.
pub(crate) fn too_long(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    product_files(folder, &mut files);
    files.sort();
    files
        .iter()
        .flat_map(|file| too_long_in(&file.display().to_string(), &fs::read_to_string(file).unwrap()))
        .collect()
}

/// The sources below a folder but for those of tests, and for what cargo, git and `make` keep there.
fn product_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !stem.starts_with('.') && !["tests", "target", "build", "dist"].contains(&&*stem)
        {
            product_files(&path, found);
        } else if stem != "tests"
            && path.extension().is_some_and(|kind| kind == "rs" || kind == "py" || kind == "sh")
        {
            found.push(path);
        }
    }
}

/// What is too long of a file with this name and text.
pub(crate) fn too_long_in(name: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let mut found = Vec::new();
    if lines > FILE {
        found.push(format!("{name}: {lines} lines, more than {FILE}"));
    }
    let functions = match name.rsplit('.').next() {
        Some("py") => python_functions(text),
        Some("sh") => shell_functions(text),
        _ => {
            let mut functions = Functions::default();
            functions.visit_file(&syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}")));
            functions.0
        }
    };
    let long = functions.into_iter().filter(|(_, lines)| *lines > FUNCTION);
    found.extend(
        long.map(|(function, lines)| format!("{name}: {function}() has {lines} lines, more than {FUNCTION}")),
    );
    found
}

/// Python's: from `def` to the last line that stands further in.
fn python_functions(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    // Indentation, name and first line of those that go on.
    let mut open: Vec<(usize, String, usize)> = Vec::new();
    let (mut last, mut is_in_text) = (0, false);
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        // The end of a list of parameters stands where its function does.
        if !is_in_text && !code.is_empty() && !code.starts_with(')') {
            while let Some((_, name, first)) = open.pop_if(|(outer, ..)| *outer >= indent) {
                found.push((name, last + 1 - first));
            }
            let rest = code.strip_prefix("async ").unwrap_or(code).strip_prefix("def ");
            if let Some((name, _)) = rest.and_then(|rest| rest.split_once('(')) {
                open.push((indent, name.to_owned(), number));
            }
        }
        is_in_text ^= line.matches("\"\"\"").count() % 2 == 1;
        if !code.is_empty() {
            last = number;
        }
    }
    found.extend(open.into_iter().map(|(_, name, first)| (name, last + 1 - first)));
    found
}

/// A shell's: from `name() {` to the brace at the beginning of a line.
fn shell_functions(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open = None;
    for (number, line) in text.lines().enumerate() {
        if let Some((name, _)) = line.split_once("() {").filter(|_| !line.ends_with('}')) {
            open = Some((name.to_owned(), number));
        } else if line.starts_with('}')
            && let Some((name, first)) = open.take()
        {
            found.push((name, number + 1 - first));
        }
    }
    found
}

/// Functions and how many lines each has.
#[derive(Default)]
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn add(&mut self, attributes: &[Attribute], signature: &syn::Signature, body: &syn::Block) -> bool {
        if is_for_tests(attributes) {
            return false;
        }
        let lines = body.span().end().line + 1 - signature.span().start().line;
        self.0.push((signature.ident.to_string(), lines));
        true
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if self.add(&item.attrs, &item.sig, &item.block) {
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if self.add(&item.attrs, &item.sig, &item.block) {
            syn::visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default
            && self.add(&item.attrs, &item.sig, body)
        {
            syn::visit::visit_trait_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_for_tests(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }
}
