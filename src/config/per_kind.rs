// SPDX-License-Identifier: MIT OR Apache-2.0
//! What kinds of handlers keep of a configuration: values of types of their own.

use std::any::Any;

/// One value of each type.
#[derive(Debug, Default)]
pub struct PerKind(Vec<Box<dyn Any + Send>>);

impl PerKind {
    /// No values yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value of this type, if a directive has made one.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.iter().find_map(|value| value.downcast_ref())
    }

    /// The value of this type, which is made now if there is none.
    #[expect(clippy::missing_panics_doc, reason = "it does not")]
    pub fn entry<T: Any + Default + Send>(&mut self) -> &mut T {
        let at = self.0.iter().position(|value| value.is::<T>()).unwrap_or_else(|| {
            self.0.push(Box::<T>::default());
            self.0.len() - 1
        });
        #[expect(clippy::expect_used, reason = "the line before has found or made it")]
        self.0.get_mut(at).and_then(|value| value.downcast_mut()).expect("a value of this type")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Names(Vec<u8>);

    #[derive(Default)]
    struct Numbers(Vec<u8>);

    #[test]
    fn each_type_has_one_value() {
        let mut kinds = PerKind::new();
        assert!(kinds.get::<Names>().is_none());
        kinds.entry::<Names>().0.push(1);
        kinds.entry::<Numbers>().0.push(2);
        kinds.entry::<Names>().0.push(3);
        assert_eq!(kinds.get::<Names>().map(|names| names.0.as_slice()), Some(&[1, 3][..]));
        assert_eq!(kinds.get::<Numbers>().map(|numbers| numbers.0.as_slice()), Some(&[2][..]));
    }
}
