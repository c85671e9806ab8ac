// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which modules look at the clock that people set. What waits, and what has a deadline, has a clock that nobody sets: no limit comes early or late
//! when the time of day is put right.

use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::{ImplItemFn, visit::Visit};

use crate::tree::{is_for_tests, read};

/// How that clock is named.
const NAMES: [&str; 5] = ["SystemTime", "UNIX_EPOCH", "CLOCK_REALTIME", "gettimeofday", "localtime_r"];

/// The modules of a crate, but for tests, that name it.
pub(crate) fn readers(root: &Path) -> Vec<String> {
    let tree = read(root);
    let mut found = Vec::new();
    for module in tree.all() {
        let mut clocks = Clocks(false);
        module.items.iter().for_each(|item| clocks.visit_item(item));
        if clocks.0 {
            found.push(module.path.join("::"));
        }
    }
    found
}

struct Clocks(bool);

impl Clocks {
    fn tokens(&mut self, tokens: &TokenStream) {
        for token in tokens.clone() {
            match token {
                TokenTree::Group(group) => self.tokens(&group.stream()),
                TokenTree::Ident(ident) => self.0 |= NAMES.contains(&ident.to_string().as_str()),
                TokenTree::Literal(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Clocks {
    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.0 |= NAMES.contains(&ident.to_string().as_str());
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.tokens(&invocation.tokens);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            syn::visit::visit_impl_item_fn(self, item);
        }
    }
}
