// SPDX-License-Identifier: MIT OR Apache-2.0
//! Types instead of conventions. Every SAFETY line names the fact and who guarantees it: none only points to another line, or to
//! somebody who "vouches". No transmutation or cast changes how long something lives, no safe function makes a mutable reference of what is
//! shared, and none makes up a lifetime for what a raw pointer leads to.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "layers/tree.rs"]
mod tree;

use std::{
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Block, ExprCast, ExprMethodCall, ExprPath, ExprUnsafe, FnArg, GenericArgument, GenericParam, Generics,
    ImplItemFn, ItemFn, ItemImpl, Lifetime, PathArguments, ReturnType, Signature, Type, TypeReference,
    visit::Visit,
};

/// Where each crate with `unsafe` in it begins.
const CRATES: [&str; 11] = [
    "src/lib.rs",
    "abi/src/lib.rs",
    "nginx-module/src/lib.rs",
    "apache-module/src/lib.rs",
    "apache-module/httpd/src/lib.rs",
    "apache-module/proxy/src/lib.rs",
    "engines/python/src/lib.rs",
    "engines/python/runtime/src/lib.rs",
    "engines/python/shared/src/lib.rs",
    "host/src/lib.rs",
    "command/src/lib.rs",
];

/// What a line that names nothing says, and nothing else.
const RELAYS: [&str; 13] = [
    "as above",
    "see above",
    "the same",
    "the caller vouches",
    "the caller vouches for it",
    "the caller's guarantee",
    "the caller's word",
    "the caller's duty",
    "the caller's promise",
    "the caller's promises",
    "live request",
    "a live connection",
    "by contract",
];

/// The sources below a folder, without what cargo and git keep there.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && !["target", "build", "dist"].contains(&name.as_str()) {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The texts after `SAFETY:` with the lines that go on with them, and the numbers of their lines.
fn reasons(source: &str) -> Vec<(usize, String)> {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let starts =
        lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.strip_prefix("// SAFETY:")?)));
    starts
        .map(|(at, first)| {
            let goes_on = |line: &&&str| !line.starts_with("// SAFETY:");
            let rest = lines[at + 1..].iter().take_while(goes_on).map_while(|line| line.strip_prefix("// "));
            let text = std::iter::once(first).chain(rest).map(str::trim).collect::<Vec<_>>().join(" ");
            (at + 1, text)
        })
        .collect()
}

fn names_nothing(reason: &str) -> bool {
    RELAYS.contains(&reason.trim_end_matches('.').to_lowercase().as_str())
        || ["as for ", "as in "].iter().any(|start| reason.starts_with(start) && reason.len() < 60)
        || reason.starts_with("as above")
}

#[test]
fn safety_lines_name_their_fact() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(root, &mut files);
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files {
        for (line, reason) in reasons(&fs::read_to_string(&file).unwrap()) {
            seen += 1;
            if names_nothing(&reason) {
                wrong.push(format!("{}:{line}: {reason}", file.strip_prefix(root).unwrap().display()));
            }
        }
    }
    assert!(seen > 500, "only {seen} SAFETY lines: this test looks at the wrong folder");
    assert!(wrong.is_empty(), "SAFETY lines that name no fact:\n{}", wrong.join("\n"));
}

#[test]
fn relays_are_known() {
    let source = "// SAFETY: as above.\n// SAFETY: the bytes live\n// for the call.\nlet x = 1; // no more\n";
    let found = reasons(source);
    assert_eq!(found, [(1, "as above.".into()), (2, "the bytes live for the call.".into())]);
    assert!(names_nothing(&found[0].1) && !names_nothing(&found[1].1));
    assert!(
        names_nothing("As above")
            && names_nothing("as for enter().")
            && names_nothing("The caller vouches for it.")
    );
}

/// What makes room that nobody else has, as an arena does: the reference is to what was given.
const ROOM: [&str; 1] = ["put"];

/// What a module's items do against these rules.
#[derive(Default)]
struct Lives {
    found: Vec<String>,
    /// Those of the `impl` that is looked at.
    of_impl: Vec<Lifetime>,
}

/// Lifetimes in a part of the source, and whether it has a mutable reference or a raw pointer.
#[derive(Default)]
struct Parts {
    lifetimes: Vec<Lifetime>,
    has_mutable: bool,
    has_raw: bool,
    has_unsafe: bool,
}

impl<'ast> Visit<'ast> for Parts {
    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        self.lifetimes.push(lifetime.clone());
    }

    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        self.has_mutable |= reference.mutability.is_some();
        syn::visit::visit_type_reference(self, reference);
    }

    fn visit_expr_unsafe(&mut self, _: &'ast ExprUnsafe) {
        self.has_unsafe = true;
    }

    fn visit_type(&mut self, kind: &'ast Type) {
        let is_raw = |path: &syn::TypePath| path.path.segments.iter().any(|part| part.ident == "NonNull");
        self.has_raw |= matches!(kind, Type::Ptr(_)) || matches!(kind, Type::Path(path) if is_raw(path));
        // What a closure is given says nothing of what there is.
        if !matches!(kind, Type::BareFn(_) | Type::ImplTrait(_) | Type::TraitObject(_)) {
            syn::visit::visit_type(self, kind);
        }
    }
}

fn lifetimes_of(generics: &Generics) -> Vec<Lifetime> {
    let lifetimes = generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Lifetime(parameter) => Some(parameter.lifetime.clone()),
        _ => None,
    });
    lifetimes.collect()
}

impl Lives {
    fn look_at(&mut self, signature: &Signature, body: &Block) {
        let ReturnType::Type(_, answer) = &signature.output else { return };
        if signature.unsafety.is_some() {
            return;
        }
        let (mut given, mut made) = (Parts::default(), Parts::default());
        made.visit_type(answer);
        let mut has_self = false;
        for input in &signature.inputs {
            has_self |= matches!(input, FnArg::Receiver(_));
            given.visit_fn_arg(input);
        }
        let name = &signature.ident;
        if made.has_mutable && !given.has_mutable && !ROOM.contains(&name.to_string().as_str()) {
            self.found.push(format!("{name}() makes a mutable reference of what is shared"));
        }
        let is_own = |lifetime: &&Lifetime| {
            lifetimes_of(&signature.generics).contains(lifetime)
                || !has_self && self.of_impl.contains(lifetime)
        };
        let unbound =
            made.lifetimes.iter().filter(is_own).find(|lifetime| !given.lifetimes.contains(lifetime));
        let mut within = Parts::default();
        within.visit_block(body);
        if let Some(lifetime) = unbound.filter(|_| given.has_raw || within.has_unsafe) {
            self.found.push(format!("{name}() makes up the lifetime {lifetime}"));
        }
    }

    /// Types that the source names where it makes one thing of another.
    fn look_at_change(&mut self, what: &str, arguments: &PathArguments) {
        let mut parts = Parts::default();
        parts.visit_path_arguments(arguments);
        let changes = match arguments {
            PathArguments::None => true,
            PathArguments::AngleBracketed(types) => {
                types.args.iter().any(|kind| matches!(kind, GenericArgument::Type(Type::Infer(_))))
                    || !parts.lifetimes.is_empty()
            }
            PathArguments::Parenthesized(_) => false,
        };
        if changes {
            self.found.push(format!("{what}() may change how long something lives"));
        }
    }

    fn look_at_static(&mut self, what: &str, kind: &dyn Fn(&mut Parts)) {
        let mut parts = Parts::default();
        kind(&mut parts);
        if parts.lifetimes.iter().any(|lifetime| lifetime.ident == "static") {
            self.found.push(format!("{what} to what lives for ever"));
        }
    }
}

impl<'ast> Visit<'ast> for Lives {
    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        self.of_impl = lifetimes_of(&item.generics);
        syn::visit::visit_item_impl(self, item);
        self.of_impl.clear();
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.look_at(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !tree::is_for_tests(&item.attrs) {
            self.look_at(&item.sig, &item.block);
            syn::visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        let last = path.path.segments.last().filter(|last| last.ident.to_string().starts_with("transmute"));
        if let Some(last) = last {
            self.look_at_change(&last.ident.to_string(), &last.arguments);
        }
        syn::visit::visit_expr_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if call.method == "cast"
            && let Some(types) = &call.turbofish
        {
            self.look_at_static("cast()", &|parts| parts.visit_angle_bracketed_generic_arguments(types));
        }
        syn::visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_cast(&mut self, cast: &'ast ExprCast) {
        self.look_at_static("a cast", &|parts| parts.visit_type(&cast.ty));
        syn::visit::visit_expr_cast(self, cast);
    }
}

/// What a crate has against these rules, each with its module.
fn lives_of(root: &Path) -> Vec<String> {
    let tree = tree::read(root);
    let of_module = |module: &tree::Module| {
        let mut lives = Lives::default();
        module.items.iter().for_each(|item| lives.visit_item(item));
        let place = module.path.join("::");
        lives.found.into_iter().map(move |line| format!("{place}: {line}")).collect::<Vec<_>>()
    };
    tree.all().into_iter().flat_map(of_module).collect()
}

#[test]
fn nothing_lives_longer_than_what_owns_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found: Vec<_> = CRATES
        .iter()
        .flat_map(|file| lives_of(&root.join(file)).into_iter().map(move |line| format!("{file}: {line}")))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn what_changes_a_life_is_known() {
    for (source, is_wrong) in [
        ("fn f(x: A<'_>) { unsafe { transmute::<A<'_>, A<'static>>(x) }; }", true),
        ("fn f(x: A<'_>) { unsafe { std::mem::transmute(x) }; }", true),
        ("fn f(x: A<'_>) { unsafe { transmute::<_, A>(x) }; }", true),
        ("fn f(x: *mut c_void) { unsafe { mem::transmute::<*mut c_void, Entry>(x) }; }", false),
        ("fn f(x: NonNull<c_void>) { x.cast::<A<'static>>(); }", true),
        ("fn f(x: NonNull<c_void>) { x.cast::<A<'_>>(); }", false),
        ("fn f(x: *mut c_void) { x as *mut A<'static>; }", true),
        ("fn f(x: &A) -> &mut B { todo() }", true),
        ("fn f(x: A) -> Option<&'static mut B> { todo() }", true),
        ("impl A { fn f(&self) -> &mut B { todo() } }", true),
        ("impl A { fn f(&mut self) -> &mut B { todo() } fn g(self: &mut A) -> &mut B { todo() } }", false),
        ("impl A { fn f(&self, g: impl FnOnce(&mut B)) -> u8 { todo() } }", false),
        ("fn f<'a>(x: *const A) -> &'a A { todo() }", true),
        ("unsafe fn f<'a>(x: *const A) -> &'a A { todo() }", false),
        ("fn f<'a>(x: *const A, y: Pool<'a>) -> &'a A { todo() }", false),
        ("impl<'a> A<'a> { fn f(x: NonNull<A>) -> B<'a> { todo() } }", true),
        ("impl<'a> A<'a> { fn f(&self, x: *mut u8) -> B<'a> { todo() } }", false),
        ("impl A { fn f<'a>(&self) -> B<'a> { unsafe { todo() } } }", true),
        ("impl A { fn f<'a>(&self) -> B<'a> { todo() } }", false),
        ("#[cfg(test)] mod tests { fn f(x: &A) -> &mut B { todo() } }", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lib.rs");
        fs::write(&file, source).unwrap();
        let found = lives_of(&file);
        assert_eq!(!found.is_empty(), is_wrong, "{source}: {found:?}");
    }
}
