// SPDX-License-Identifier: MIT OR Apache-2.0
//! `GangwayParam NAME VALUE [if_not_empty]`, where VALUE may be `expr=` and an expression of httpd's.

use std::ffi::CStr;

use gangway::{config::check_param_name, log};

use crate::{
    directive::{Command, Expression},
    pool::Pool,
    sys,
};

/// A variable that the administrator sets.
#[derive(Clone, Copy, Debug)]
pub struct Param<'p> {
    /// The name.
    pub name: &'p CStr,
    /// The value.
    pub value: &'p CStr,
    /// In place of the value.
    pub expression: Option<Expression<'p>>,
    /// Set it only when the value is not empty.
    pub if_not_empty: bool,
}

/// Reads the words of the directive.
///
/// # Errors
/// What is wrong with them, to stand behind the directive's name.
pub fn read<'c>(command: &Command<'c>, words: &[&[u8]]) -> Result<Param<'c>, String> {
    let words = ParamWords::of(words)?;
    let flags = sys::AP_EXPR_FLAG_STRING_RESULT;
    Ok(Param {
        name: command.pool().text(words.name),
        value: command.pool().text(words.value),
        expression: words.expr.map(|source| command.expression(source, flags)).transpose()?,
        if_not_empty: words.if_not_empty,
    })
}

/// Variables with more, each in the place of an earlier one of its name.
#[must_use]
pub fn with<'p>(known: &[Param<'p>], more: &[Param<'p>], pool: Pool<'p>) -> &'p [Param<'p>] {
    let mut all = known.to_vec();
    for param in more {
        match all.iter_mut().find(|known| known.name == param.name) {
            Some(known) => *known = *param,
            None => all.push(*param),
        }
    }
    pool.copy(&all)
}

/// The words as they stand there.
#[derive(Debug, PartialEq, Eq)]
struct ParamWords<'w> {
    name: &'w [u8],
    value: &'w [u8],
    /// The source of an expression instead of a value.
    expr: Option<&'w [u8]>,
    if_not_empty: bool,
}

impl<'w> ParamWords<'w> {
    fn of(words: &[&'w [u8]]) -> Result<Self, String> {
        let (name, value, if_not_empty) = match *words {
            [name, value] => (name, value, false),
            [name, value, b"if_not_empty"] => (name, value, true),
            [_, _, flag, ..] => {
                return Err(format!(
                    "has an unknown word \"{}\": only if_not_empty may follow the value",
                    log::escape(flag)
                ));
            }
            _ => return Err("needs a name and a value".into()),
        };
        check_param_name(&String::from_utf8_lossy(name)).map_err(|error| error.to_string())?;
        Ok(Self { name, value, expr: value.strip_prefix(b"expr="), if_not_empty })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_a_value_and_at_most_one_word_more() {
        let words =
            |name: &'static str, value: &'static str, expr: Option<&'static str>, if_not_empty| ParamWords {
                name: name.as_bytes(),
                value: value.as_bytes(),
                expr: expr.map(str::as_bytes),
                if_not_empty,
            };
        assert_eq!(ParamWords::of(&[b"A", b"1"]), Ok(words("A", "1", None, false)));
        assert_eq!(ParamWords::of(&[b"A", b"", b"if_not_empty"]), Ok(words("A", "", None, true)));
        assert_eq!(ParamWords::of(&[b"A", b"expr=%{X}"]), Ok(words("A", "expr=%{X}", Some("%{X}"), false)));
    }

    #[test]
    fn a_wrong_one_names_the_cure() {
        for (words, part) in [
            (&[&b"A"[..]][..], "needs a name and a value"),
            (&[], "needs a name and a value"),
            (&[b"A B", b"x"], "GW0105"),
            (&[b"A", b"x", b"if_empty"], "only if_not_empty"),
            (&[b"A", b"x", b"if_not_empty", b"y"], "unknown word"),
        ] {
            assert!(ParamWords::of(words).unwrap_err().contains(part), "{words:?}");
        }
    }
}
