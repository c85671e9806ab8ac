// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the core must not name: a server, or a language that an engine runs.

use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, visit::Visit};

use crate::tree::{Module, is_for_tests, read};

/// Parts of identifiers.
const NAMES: [&str; 8] = ["nginx", "ngx", "apache", "httpd", "apr", "python", "perl", "php"];

/// Words of texts: with one of them a line of the log or a word of a directive would be a language's.
const WORDS: [&str; 5] = ["python", "perl", "wsgi", "asgi", "apache"];

/// What a crate names of these, each with its module.
pub(crate) fn named(root: &Path) -> Vec<String> {
    let tree = read(root);
    tree.all().into_iter().flat_map(named_in).collect()
}

fn named_in(module: &Module) -> Vec<String> {
    let mut found = Foreign(Vec::new());
    module.items.iter().for_each(|item| found.visit_item(item));
    let place = module.path.join("::");
    found.0.into_iter().map(|name| format!("{place}: {name}")).collect()
}

struct Foreign(Vec<String>);

impl Foreign {
    fn name(&mut self, name: &str) {
        // What begins in upper case begins a word as well.
        let mut words = String::new();
        for c in name.chars() {
            if c.is_uppercase() {
                words.push('_');
            }
            words.extend(c.to_lowercase());
        }
        if words.split('_').any(|word| NAMES.contains(&word)) {
            self.0.push(name.to_owned());
        }
    }

    fn text(&mut self, text: &str) {
        let lower = text.to_lowercase();
        if lower.split(|c: char| !c.is_alphanumeric()).any(|word| WORDS.contains(&word)) {
            self.0.push(text.to_owned());
        }
    }

    fn tokens(&mut self, tokens: &TokenStream) {
        for token in tokens.clone() {
            match token {
                TokenTree::Group(group) => self.tokens(&group.stream()),
                TokenTree::Ident(ident) => self.name(&ident.to_string()),
                TokenTree::Literal(literal) => self.text(&literal.to_string()),
                TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Foreign {
    /// Comments explain; an `#[error("..")]` is said.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if !attribute.path().is_ident("doc") {
            syn::visit::visit_attribute(self, attribute);
        }
    }

    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.name(&ident.to_string());
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.text(&text.value());
    }

    fn visit_lit_byte_str(&mut self, text: &'ast syn::LitByteStr) {
        self.text(&String::from_utf8_lossy(&text.value()));
    }

    fn visit_lit_cstr(&mut self, text: &'ast syn::LitCStr) {
        self.text(&text.value().to_string_lossy());
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.tokens(&invocation.tokens);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.tokens(&list.tokens);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            syn::visit::visit_impl_item_fn(self, item);
        }
    }
}
