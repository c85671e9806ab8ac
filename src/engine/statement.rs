// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an engine states of itself: its interfaces, what their targets look like, and the options that are its own.
//!
//! Read once, when the engine is opened; the core makes the words of a directive of it and so names no language.

use std::{
    ffi::{CStr, c_char},
    mem::offset_of,
};

use gangway_abi::ffi as abi;

/// Bytes of the structs of ABI 1.0: the last member and all before.
const INTERFACE_1_0: usize = offset_of!(abi::gw_interface, option_count) + size_of::<usize>();
const OPTION_1_0: usize = offset_of!(abi::gw_option, help) + size_of::<*const c_char>();

/// More is a defect of the engine.
const MOST: usize = 1000;

/// What a value looks like, and what is checked when the configuration is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A whole number within these bounds.
    Count(u32, u32),
    /// A time: `500ms`, `30s`, `2m`, `1h`, `30` (seconds) or `off`.
    Time,
    /// An existing directory; made absolute.
    Directory,
    /// An existing file; made absolute.
    File,
    /// `on` or `off`.
    Switch,
    /// `NAME=VALUE`.
    Assignment,
    /// A text that is not empty.
    Text,
    /// Bytes: `512k`, `64m`, `2g`, `1000`.
    Size,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// One option: a `key=value` word after a handler directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OptionDef {
    /// The key.
    pub name: &'static str,
    /// What its value looks like.
    pub value: Value,
    /// Whether it may be given several times.
    pub repeats: bool,
    /// The default, as written in the reference.
    pub default: &'static str,
}

/// What a target looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Anything: the engine looks at it.
    Text,
    /// `PLACE:MEMBER`, with the word for the second part; a place with a slash is a file.
    Member(&'static str),
}

/// A kind of application that an engine runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    /// Its word, as in `gangway_wsgi` and `GangwayWSGI`.
    pub name: &'static str,
    /// What a target looks like.
    pub target: Target,
    /// The same for messages.
    pub target_form: &'static str,
    /// The options that are the engine's own.
    pub options: Vec<OptionDef>,
    /// Its applications answer later.
    pub is_async: bool,
    /// Its applications are asked for WebSockets.
    pub has_sockets: bool,
    /// They want the header fields of a request as they came.
    pub has_fields: bool,
    /// They do not look at the head of a request any more once they have accepted a WebSocket.
    pub forgets_head: bool,
}

/// Reads the interfaces of an engine that has passed the handshake.
///
/// # Errors
/// What is wrong with them.
pub(super) fn interfaces(table: &abi::gw_engine) -> Result<Vec<Interface>, String> {
    // SAFETY: gangway.h: NULL with 0, or so many pointers, valid and unchanged until the process ends.
    let interfaces = unsafe { pointers(table.interfaces, table.interface_count, "the list of interfaces") }?;
    let mut known: Vec<Interface> = Vec::with_capacity(interfaces.len());
    for raw in interfaces {
        let interface = interface(*raw)?;
        if known.iter().any(|other| other.name == interface.name) {
            return Err(format!("it states the interface \"{}\" twice", interface.name));
        }
        known.push(interface);
    }
    Ok(known)
}

fn interface(raw: *const abi::gw_interface) -> Result<Interface, String> {
    // SAFETY: gangway.h: a list of the statement holds pointers to structs that begin with their size and stay until
    // the process ends.
    let raw: &'static abi::gw_interface = unsafe { whole(raw, INTERFACE_1_0, "an interface") }?;
    let name = word(raw.name, "the name of an interface")?;
    let of = |member: &str| format!("{member} of the interface \"{name}\"");
    let target = match raw.target {
        abi::GW_TARGET_TEXT => Target::Text,
        abi::GW_TARGET_MEMBER => Target::Member(text(raw.member, &of("\"member\""))?),
        other => {
            return Err(format!("{} is {other}, which this server module does not know", of("\"target\"")));
        }
    };
    // SAFETY: gangway.h: NULL with 0, or so many pointers, valid and unchanged until the process ends.
    let raws = unsafe { pointers(raw.options, raw.option_count, &of("the list of options")) }?;
    let mut options: Vec<OptionDef> = Vec::with_capacity(raws.len());
    for raw in raws {
        let option = option(*raw)?;
        if options.iter().any(|other| other.name == option.name) {
            return Err(format!("{} has \"{}\" twice", of("the list of options"), option.name));
        }
        options.push(option);
    }
    let target_form = text(raw.target_form, &of("\"target_form\""))?;
    let is_async = raw.flags & abi::GW_INTERFACE_ASYNC != 0;
    let has_sockets = raw.flags & abi::GW_INTERFACE_WEBSOCKET != 0;
    let has_fields = raw.flags & abi::GW_INTERFACE_FIELDS != 0;
    let forgets_head = raw.flags & abi::GW_INTERFACE_FORGETS_HEAD != 0;
    Ok(Interface { name, target, target_form, options, is_async, has_sockets, has_fields, forgets_head })
}

fn option(raw: *const abi::gw_option) -> Result<OptionDef, String> {
    // SAFETY: gangway.h says of every struct that a list of a statement points to: valid, unchanged, at least of its own size.
    let raw: &'static abi::gw_option = unsafe { whole(raw, OPTION_1_0, "an option") }?;
    let name = word(raw.name, "the name of an option")?;
    let value = match raw.value {
        abi::GW_VALUE_SWITCH => Value::Switch,
        abi::GW_VALUE_NUMBER => Value::Count(raw.least, raw.most),
        abi::GW_VALUE_SIZE => Value::Size,
        abi::GW_VALUE_TIME => Value::Time,
        abi::GW_VALUE_ASSIGNMENT => Value::Assignment,
        abi::GW_VALUE_FILE => Value::File,
        abi::GW_VALUE_DIRECTORY => Value::Directory,
        // gangway.h: a kind of a later version is a text; the engine looks at it in check().
        _ => Value::Text,
    };
    let default = text(raw.default_text, &format!("\"default_text\" of the option \"{name}\""))?;
    text(raw.help, &format!("\"help\" of the option \"{name}\""))?;
    Ok(OptionDef { name, value, repeats: raw.flags & abi::GW_OPTION_REPEATS != 0, default })
}

/// # Safety
/// `(NULL, 0)`, or `count` pointers at `first` that stay valid and unchanged until the process ends.
unsafe fn pointers<T>(
    first: *const *const T,
    count: usize,
    what: &str,
) -> Result<&'static [*const T], String> {
    match (first.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(format!("{what} is NULL with a length")),
        (false, 1..=MOST) => {
            // SAFETY: the caller guarantees so many pointers.
            Ok(unsafe { std::slice::from_raw_parts(first, count) })
        }
        _ => Err(format!("{what} has {count} entries, more than {MOST}")),
    }
}

/// The struct behind a pointer of the statement, if it has all members of its first version.
///
/// # Safety
/// `raw` is NULL or points to a struct that begins with its size and stays valid and unchanged until the process ends.
unsafe fn whole<T>(raw: *const T, least: usize, what: &str) -> Result<&'static T, String> {
    // SAFETY: the caller guarantees the size at the front; nothing else is read before it is known.
    match unsafe { raw.cast::<usize>().as_ref() } {
        None => Err(format!("{what} is NULL")),
        Some(&size) if size < least => {
            Err(format!("{what} has {size} bytes where ABI 1.0 has {least}; build it with gangway.h"))
        }
        // SAFETY: the struct is as long as the version that this host knows.
        Some(_) => Ok(unsafe { &*raw }),
    }
}

/// A text for people.
fn text(raw: *const c_char, what: &str) -> Result<&'static str, String> {
    if raw.is_null() {
        return Err(format!("{what} is NULL"));
    }
    // SAFETY: gangway.h: texts of the statement are C strings that stay until the process ends.
    let text = unsafe { CStr::from_ptr(raw) }.to_str().map_err(|_| format!("{what} is not UTF-8"))?;
    let plain = !text.is_empty() && !text.chars().any(char::is_control);
    plain.then_some(text).ok_or_else(|| format!("{what} is empty or holds control bytes"))
}

/// A word of the configuration.
fn word(raw: *const c_char, what: &str) -> Result<&'static str, String> {
    let word = text(raw, what)?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if word.bytes().all(fits) {
        return Ok(word);
    }
    Err(format!("{what} is \"{word}\": use lower-case letters, digits and \"_\""))
}
