// SPDX-License-Identifier: MIT OR Apache-2.0
//! The modules of a crate, read from its sources.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use syn::{Attribute, Item, ItemMod};

/// A module: where it stands, and the modules in it.
pub(crate) struct Module {
    /// Names from the crate's root on; none for the root itself.
    pub(crate) path: Vec<String>,
    pub(crate) items: Vec<Item>,
    pub(crate) children: BTreeMap<String, Self>,
}

/// The module tree of a crate.
pub(crate) fn read(root: &Path) -> Module {
    module(Vec::new(), parse(root), root.parent().unwrap())
}

impl Module {
    /// This module and all below it.
    pub(crate) fn all(&self) -> Vec<&Self> {
        std::iter::once(self).chain(self.children.values().flat_map(Self::all)).collect()
    }
}

fn parse(file: &Path) -> Vec<Item> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display())).items
}

/// `folder` is where the files of the module's children are.
fn module(path: Vec<String>, items: Vec<Item>, folder: &Path) -> Module {
    let items: Vec<_> = items.into_iter().filter(|item| !is_for_tests(attributes(item))).collect();
    let children = items.iter().filter_map(|item| match item {
        Item::Mod(child) => Some(child),
        _ => None,
    });
    let children =
        children.map(|child| (child.ident.to_string(), child_module(&path, child, folder))).collect();
    let items = items.into_iter().filter(|item| !matches!(item, Item::Mod(_))).collect();
    Module { path, items, children }
}

fn child_module(parent: &[String], child: &ItemMod, folder: &Path) -> Module {
    let name = child.ident.to_string();
    let path = [parent, std::slice::from_ref(&name)].concat();
    let inner: PathBuf = folder.join(&name);
    if let Some((_, items)) = &child.content {
        return module(path, items.clone(), &inner);
    }
    let files = [folder.join(format!("{name}.rs")), inner.join("mod.rs")];
    let file = files.iter().find(|file| file.exists()).unwrap_or_else(|| panic!("no file of {path:?}"));
    module(path, parse(file), &inner)
}

/// Whether the item exists for tests alone; bodies of fuzz targets are tests.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let condition = attribute.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default();
        condition.contains("fuzzing")
            || condition.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
