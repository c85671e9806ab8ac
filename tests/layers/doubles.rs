// SPDX-License-Identifier: MIT OR Apache-2.0
//! A type's name means one thing in a crate: whoever reads it, in a line of the log or in a file that they do not know,
//! need not ask which.

use std::collections::BTreeMap;

use syn::Item;

use crate::tree::Module;

/// The names that several types of a crate have, each with the modules in which they stand.
pub(crate) fn doubles(root: &Module) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for module in root.all() {
        for name in module.items.iter().filter_map(type_name) {
            found.entry(name).or_default().push(module.path.join("::"));
        }
    }
    found.retain(|_, modules| modules.len() > 1);
    found
}

fn type_name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Enum(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}
