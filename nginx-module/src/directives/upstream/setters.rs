// SPDX-License-Identifier: MIT OR Apache-2.0
//! Directives that nginx has no setter for, as its modules write them each for itself.

use std::mem;

use gangway::{error::BAD_VALUE, log::Level};
use nginx_sys::{
    ngx_http_script_compile, ngx_http_script_compile_t, ngx_http_script_variables_count,
    ngx_shared_memory_add,
};

use crate::{
    conf::{LocationConf, ScriptCheck, Split, unset::switch},
    directives::setter,
    raw::Conf,
};

setter!(set_store, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    let conf = &mut location.upstream.conf;
    if switch(conf.store()).is_some() {
        return Err("is duplicate".into());
    }
    let words = cf.words();
    match words.get(1).copied().unwrap_or_default() {
        b"off" => {
            conf.set_store(0);
            return Ok(());
        }
        b"" => return Err(format!("{BAD_VALUE} has an empty path: write on, off or a path")),
        _ if switch(conf.cache()) == Some(true) => {
            return Err("is incompatible with \"gangway_cache\"".into());
        }
        b"on" => {
            conf.set_store(1);
            return Ok(());
        }
        _ => conf.set_store(1),
    }
    let mut path = cf.first_word();
    // The NUL that ends the word is part of the path, which the file system gets as a C string.
    path.len += 1;
    // SAFETY: all-zero is what the C code starts from; the word and its NUL live as long as the cycle.
    let status = unsafe {
        let mut script: ngx_http_script_compile_t = mem::zeroed();
        script.cf = cf.raw();
        script.source = &raw mut path;
        script.lengths = &raw mut conf.store_lengths;
        script.values = &raw mut conf.store_values;
        script.variables = ngx_http_script_variables_count(&raw mut path);
        script.set_complete_lengths(1);
        script.set_complete_values(1);
        ngx_http_script_compile(&raw mut script)
    };
    if status == 0 { Ok(()) } else { Err("has a path that nginx cannot compile".into()) }
});

setter!(set_cache, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    let conf = &mut location.upstream.conf;
    if switch(conf.cache()).is_some() {
        return Err("is duplicate".into());
    }
    let words = cf.words();
    let zone = words.get(1).copied().unwrap_or_default();
    if zone == b"off" {
        conf.set_cache(0);
        return Ok(());
    }
    if switch(conf.store()) == Some(true) {
        return Err("is incompatible with \"gangway_store\"".into());
    }
    if zone.is_empty() {
        return Err(format!("{BAD_VALUE} has an empty zone: write off or a zone of gangway_cache_path"));
    }
    conf.set_cache(1);
    if zone.contains(&b'$') {
        conf.cache_value = cf.compile(zone).ok_or("has a zone that nginx cannot compile")?.raw();
        return Ok(());
    }
    let tag = (&raw const crate::ngx_http_gangway_module).cast_mut().cast();
    let mut name = cf.first_word();
    // SAFETY: the name lives as long as the cycle; size 0 refers to a zone that gangway_cache_path makes.
    conf.cache_zone = unsafe { ngx_shared_memory_add(cf.raw(), &raw mut name, 0, tag) };
    if conf.cache_zone.is_null() { Err("has a zone that nginx refuses".into()) } else { Ok(()) }
});

setter!(set_cache_key, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    let conf = &mut location.upstream;
    if conf.cache_key.is_some() {
        return Err("is duplicate".into());
    }
    let words = cf.words();
    let key = words.get(1).copied().unwrap_or_default();
    conf.cache_key = Some(cf.compile(key).ok_or("has a value that nginx cannot compile")?);
    Ok(())
});

setter!(set_split_path_info, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    let words = cf.words();
    location.upstream.split = Some(Split::compile(cf, words.get(1).copied().unwrap_or_default())?);
    Ok(())
});

setter!(set_script_suffixes, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    let conf = &mut location.upstream;
    if conf.suffixes.is_some() {
        return Err("is duplicate".into());
    }
    let words = cf.words();
    conf.suffixes = Some(suffixes(words.get(1..).unwrap_or_default())?.into());
    Ok(())
});

setter!(set_modifier1, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    set_once(&mut location.upstream.modifier1, cf, byte)
});

setter!(set_modifier2, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    set_once(&mut location.upstream.modifier2, cf, byte)
});

setter!(set_stderr_level, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    set_once(&mut location.upstream.stderr_level, cf, level)
});

setter!(set_script_check, LocationConf, |cf: &Conf, location: &mut LocationConf| {
    set_once(&mut location.upstream.script_check, cf, script_check)
});

fn script_check(word: &[u8]) -> Result<ScriptCheck, String> {
    match word {
        b"on" => Ok(ScriptCheck::On),
        b"off" => Ok(ScriptCheck::Off),
        b"symlinks" => Ok(ScriptCheck::Symlinks),
        _ => Err(format!(
            "{BAD_VALUE} has the value \"{}\": it must be on, symlinks or off",
            String::from_utf8_lossy(word)
        )),
    }
}

/// Sets what may be set once, from the word after the directive.
fn set_once<T>(slot: &mut Option<T>, cf: &Conf, parse: fn(&[u8]) -> Result<T, String>) -> Result<(), String> {
    if slot.is_some() {
        return Err("is duplicate".into());
    }
    let words = cf.words();
    *slot = Some(parse(words.get(1).copied().unwrap_or_default())?);
    Ok(())
}

fn byte(word: &[u8]) -> Result<u8, String> {
    let text = String::from_utf8_lossy(word);
    let digits = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or_else(|| format!("{BAD_VALUE} has the value \"{text}\": it must be between 0 and 255"))
}

fn level(word: &[u8]) -> Result<Level, String> {
    Ok(match word {
        b"error" => Level::Error,
        b"warn" => Level::Warn,
        b"notice" => Level::Notice,
        b"info" => Level::Info,
        b"debug" => Level::Debug,
        _ => {
            let text = String::from_utf8_lossy(word);
            return Err(format!(
                "{BAD_VALUE} has the level \"{text}\": write error, warn, notice, info or debug"
            ));
        }
    })
}

/// The suffixes of scripts, without their dot.
fn suffixes(words: &[&[u8]]) -> Result<Vec<Vec<u8>>, String> {
    let mut suffixes = Vec::with_capacity(words.len());
    for word in words {
        let text = String::from_utf8_lossy(word);
        let cure = if word.is_empty() {
            "a suffix cannot be empty"
        } else if word.starts_with(b".") {
            "write the suffix without its dot"
        } else if word.iter().any(|byte| *byte == b'/' || byte.is_ascii_control() || *byte == b' ') {
            "a suffix is the part of a file's name after its dot, for example php"
        } else {
            suffixes.push(word.to_vec());
            continue;
        };
        return Err(format!("{BAD_VALUE} has the suffix \"{text}\": {cure}"));
    }
    Ok(suffixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_are_bytes() {
        assert_eq!((byte(b"0"), byte(b"255")), (Ok(0), Ok(255)));
        for word in ["", "256", "-1", "+1", "x", "1 "] {
            assert!(byte(word.as_bytes()).unwrap_err().contains("between 0 and 255"), "{word}");
        }
    }

    #[test]
    fn levels_are_those_of_the_log() {
        assert_eq!((level(b"error"), level(b"debug")), (Ok(Level::Error), Ok(Level::Debug)));
        assert!(level(b"loud").unwrap_err().contains("\"loud\": write error, warn"));
    }

    #[test]
    fn suffixes_are_parts_of_names() {
        let words: [&[u8]; 3] = [b"php", b"php8", b"inc.php"];
        assert_eq!(suffixes(&words).unwrap(), words);
        for (word, cure) in [
            (&b""[..], "cannot be empty"),
            (b".php", "without its dot"),
            (b"a/b", "for example php"),
            (b"a b", "for example php"),
            (b"php\0", "for example php"),
        ] {
            let error = suffixes(&[b"php", word]).unwrap_err();
            assert!(error.starts_with("GW0102 ") && error.contains(cure), "{error}");
        }
    }
}
