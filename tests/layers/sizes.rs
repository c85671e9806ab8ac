// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much there is to read at once: lines of a file, and of a function.

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

/// The sources below a folder but for those of tests.
fn product_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_of_tests = path.file_stem().is_some_and(|name| name == "tests");
        if is_of_tests {
            continue;
        }
        if path.is_dir() {
            product_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
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
    let mut functions = Functions::default();
    functions.visit_file(&syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}")));
    let long = functions.0.into_iter().filter(|(_, lines)| *lines > FUNCTION);
    found.extend(
        long.map(|(function, lines)| format!("{name}: {function}() has {lines} lines, more than {FUNCTION}")),
    );
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
