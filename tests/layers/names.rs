// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which module names what of which other one.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::{Item, Macro, Path, UseTree, visit::Visit};

use crate::tree::Module;

/// One module names something that stands in another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<String>,
    /// The name as it is written, from the root on.
    pub(crate) name: String,
}

/// How often a name may lead to another name.
const DEPTH: usize = 16;

/// All uses of a crate, each once.
pub(crate) fn uses(root: &Module) -> BTreeSet<Use> {
    let mut found = BTreeSet::new();
    for module in root.all() {
        let mut written = Written::default();
        module.items.iter().for_each(|item| written.visit_item(item));
        for name in written.0 {
            let Some(path) = absolute(root, module, &name) else { continue };
            let Some(to) = home(root, &path, DEPTH) else { continue };
            if to != module.path {
                found.insert(Use { from: module.path.clone(), to, name: path.join("::") });
            }
        }
    }
    found
}

/// The names that a module writes.
#[derive(Default)]
struct Written(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Written {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        leaves(&item.tree, &mut Vec::new(), &mut |path, _| self.0.push(path));
    }

    fn visit_path(&mut self, path: &'ast Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast Macro) {
        self.visit_path(&invocation.path);
        in_tokens(invocation.tokens.clone(), &mut self.0);
    }
}

/// Paths that begin with `crate`, `self` or `super` among the words of a macro.
fn in_tokens(tokens: TokenStream, found: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(word) if path.is_empty() || colons == 2 => {
                let word = word.to_string();
                if !path.is_empty() || ["crate", "self", "super"].contains(&word.as_str()) {
                    path.push(word);
                }
                colons = 0;
                continue;
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => {
                colons += 1;
                continue;
            }
            TokenTree::Group(group) => in_tokens(group.stream(), found),
            _ => {}
        }
        found.push(std::mem::take(&mut path));
        colons = 0;
    }
    found.push(path);
}

/// The ends of a tree of names: the path as written, and the name that it gets.
fn leaves(tree: &UseTree, before: &mut Vec<String>, found: &mut impl FnMut(Vec<String>, Option<String>)) {
    match tree {
        UseTree::Path(part) => {
            before.push(part.ident.to_string());
            leaves(&part.tree, before, found);
            before.pop();
        }
        UseTree::Name(name) => {
            let end = (name.ident != "self").then(|| name.ident.to_string());
            let path: Vec<_> = before.iter().cloned().chain(end).collect();
            let last = path.last().cloned();
            found(path, last);
        }
        UseTree::Rename(name) => {
            let path = before.iter().cloned().chain([name.ident.to_string()]).collect();
            found(path, Some(name.rename.to_string()));
        }
        UseTree::Glob(_) => found(before.clone(), None),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, before, found)),
    }
}

/// The path from the root on, if it leads into this crate.
fn absolute(root: &Module, module: &Module, name: &[String]) -> Option<Vec<String>> {
    let (first, rest) = name.split_first()?;
    let mut path = module.path.clone();
    match first.as_str() {
        "crate" => path.clear(),
        "self" => {}
        "super" => {
            path.pop()?;
            let above = at(root, &path)?;
            return if rest.first().is_some_and(|next| next == "super") {
                absolute(root, above, rest)
            } else {
                Some([path, rest.to_vec()].concat())
            };
        }
        child if module.children.contains_key(child) => path.push(child.to_owned()),
        _ => return None,
    }
    Some([path, rest.to_vec()].concat())
}

fn at<'a>(root: &'a Module, path: &[String]) -> Option<&'a Module> {
    path.iter().try_fold(root, |module, name| module.children.get(name))
}

/// The module in which the thing stands that a path leads to, behind the names that parents give their children's things.
fn home(root: &Module, path: &[String], depth: usize) -> Option<Vec<String>> {
    let depth = depth.checked_sub(1)?;
    let mut module = root;
    for (index, name) in path.iter().enumerate() {
        if let Some(child) = module.children.get(name) {
            module = child;
            continue;
        }
        let led = imports(module).into_iter().find_map(|(target, known)| {
            let target = absolute(root, module, &target)?;
            match known {
                Some(known) if known == *name => home(root, &[&target, &path[index + 1..]].concat(), depth),
                Some(_) => None,
                None => defines(root, &target, name, depth)
                    .then(|| home(root, &[&target, &path[index..]].concat(), depth))
                    .flatten(),
            }
        });
        return Some(led.unwrap_or_else(|| module.path.clone()));
    }
    Some(module.path.clone())
}

/// Whether the module that a path leads to has something of this name, of its own or from elsewhere.
fn defines(root: &Module, path: &[String], name: &str, depth: usize) -> bool {
    let Some(module) = home(root, path, depth).and_then(|path| at(root, &path)) else { return false };
    let own = |item: &Item| match item {
        Item::Const(item) => item.ident == name,
        Item::Enum(item) => item.ident == name,
        Item::Fn(item) => item.sig.ident == name,
        Item::Static(item) => item.ident == name,
        Item::Struct(item) => item.ident == name,
        Item::Trait(item) => item.ident == name,
        Item::Type(item) => item.ident == name,
        _ => false,
    };
    module.children.contains_key(name)
        || module.items.iter().any(own)
        || imports(module).iter().any(|(_, known)| known.as_deref() == Some(name))
}

/// What a module's `use` lines bring in: a path and the name it gets, none for `*`.
fn imports(module: &Module) -> Vec<(Vec<String>, Option<String>)> {
    let mut found = Vec::new();
    for item in &module.items {
        if let Item::Use(item) = item {
            leaves(&item.tree, &mut Vec::new(), &mut |path, known| found.push((path, known)));
        }
    }
    found
}
