// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names that tell applications apart. Those that are derived from a program or a target may be the same for several of them,
//! which get a number then, and keep it as long as they are in the configuration.

use std::collections::BTreeSet;

use super::KnownApplication;

/// What has, or is to have, a name.
pub(super) trait Named {
    /// What its words say.
    fn wanted(&self) -> &str;
    /// Whether somebody has chosen that.
    fn is_chosen(&self) -> bool;
    /// What it is called until now.
    fn name(&self) -> &str;
    fn rename(&mut self, name: String);
}

/// Gives each a name of its own.
pub(super) fn give(all: &mut [impl Named]) {
    let mut taken = BTreeSet::new();
    let mut left: Vec<usize> = Vec::new();
    // Those that were chosen come first, and then those that are known by their name already.
    let (chosen, derived): (Vec<_>, Vec<_>) = all.iter().enumerate().partition(|(_, one)| one.is_chosen());
    for (index, one) in chosen.into_iter().chain(derived) {
        let keeps =
            if one.is_chosen() { one.wanted() == one.name() } else { is_derived(one.name(), one.wanted()) };
        if !keeps || !taken.insert(one.name().to_owned()) {
            left.push(index);
        }
    }
    for index in left {
        let Some(one) = all.get_mut(index) else { continue };
        let mut name = one.wanted().to_owned();
        for number in 2u32.. {
            if taken.insert(name.clone()) {
                break;
            }
            name = format!("{}-{number}", one.wanted());
        }
        one.rename(name);
    }
}

fn is_derived(name: &str, wanted: &str) -> bool {
    let rest = name.strip_prefix(wanted);
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('-').is_some_and(|rest| rest.parse::<u32>().is_ok())
    })
}

impl Named for KnownApplication {
    fn wanted(&self) -> &str {
        self.managed.name()
    }

    fn is_chosen(&self) -> bool {
        self.managed.is_named()
    }

    fn name(&self) -> &str {
        &self.pool.name
    }

    fn rename(&mut self, name: String) {
        self.pool.name = name.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct One(&'static str, bool, String);

    impl Named for One {
        fn wanted(&self) -> &str {
            self.0
        }

        fn is_chosen(&self) -> bool {
            self.1
        }

        fn name(&self) -> &str {
            &self.2
        }

        fn rename(&mut self, name: String) {
            self.2 = name;
        }
    }

    fn given(all: &[(&'static str, bool, &str)]) -> Vec<String> {
        let mut all: Vec<_> =
            all.iter().map(|(wanted, chosen, name)| One(wanted, *chosen, (*name).to_owned())).collect();
        give(&mut all);
        all.into_iter().map(|one| one.2).collect()
    }

    #[test]
    fn names_that_are_the_same_get_numbers_and_keep_them() {
        let new =
            [("php", false, "php"), ("php", false, "php"), ("app", false, "app"), ("php", false, "php")];
        assert_eq!(given(&new), ["php", "php-2", "app", "php-3"]);
        // The first one has gone, and another one has come.
        assert_eq!(given(&[("php", false, "php-2"), ("php", false, "php")]), ["php-2", "php"]);
        assert_eq!(
            given(&[("php", false, "php-3"), ("php", false, "php"), ("php", false, "php")]),
            ["php-3", "php", "php-2"]
        );
    }

    #[test]
    fn a_chosen_name_is_its_own() {
        assert_eq!(given(&[("php", false, "php"), ("php", true, "php")]), ["php-2", "php"]);
        assert_eq!(given(&[("a", true, "a"), ("a", true, "a")]), ["a", "a-2"]);
        assert_eq!(given(&[("blog", true, "php-2"), ("a", true, "b")]), ["blog", "a"]);
    }
}
