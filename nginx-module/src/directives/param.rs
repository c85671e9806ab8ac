// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_param`.

use gangway::config;

use super::setter;
use crate::{
    conf::{ConfParam, LocationConf},
    raw::Conf,
};

setter!(set_param, LocationConf, |cf: &Conf, conf: &mut LocationConf| {
    let param = param(cf)?;
    conf.params.get_or_insert_default().push(param);
    Ok(())
});

/// The words of `gangway_param`.
pub(crate) fn param(cf: &Conf) -> Result<ConfParam, String> {
    let words = cf.words();
    let [_, name, value, flags @ ..] = words.as_slice() else {
        return Err("needs a name and a value".into());
    };
    if let Some(flag) = flags.first()
        && *flag != b"if_not_empty"
    {
        let flag = String::from_utf8_lossy(flag);
        return Err(format!("has an unknown word \"{flag}\": only if_not_empty may follow the value"));
    }
    config::check_param_name(&String::from_utf8_lossy(name)).map_err(|error| error.to_string())?;
    let value = cf.compile(value).ok_or("has a value that nginx cannot compile")?;
    Ok(ConfParam { name: name.to_vec(), value, if_not_empty: !flags.is_empty() })
}
