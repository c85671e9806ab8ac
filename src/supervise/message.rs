// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server's parent says of an application to the supervisor, and what a worker says.

use std::time::Duration;

use crate::{
    config::Life,
    sys::spawner::tree::{Composer, Parts},
};

/// An application, as the supervisor knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) threads: u32,
    pub(super) life: Life,
    pub(super) owner: AppOwner,
}

/// The user who runs an application, for whom it may be controlled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AppOwner {
    pub(super) user: u32,
    pub(super) name: String,
}

impl About {
    pub(super) fn encode(&self) -> Vec<u8> {
        let life = &self.life;
        let time = |time: Option<Duration>| time.map_or(0, |time| time.as_millis() as u64);
        Composer::default()
            .bytes(self.name.as_bytes())
            .number(self.threads.into())
            .number(life.least.into())
            .number(life.most.into())
            .number(time(life.idle))
            .number(life.max_requests.unwrap_or(0).into())
            .number(life.max_rss.unwrap_or(0))
            .number(time(life.lifetime))
            .number(time(life.boot_timeout))
            .number(time(life.drain_timeout))
            .number(self.owner.user.into())
            .bytes(self.owner.name.as_bytes())
            .finish()
    }

    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let mut parts = Parts::new(message);
        let name = String::from_utf8_lossy(parts.bytes()?).into_owned();
        let threads = parts.small()?;
        let (least, most) = (parts.small()?, parts.small()?);
        let time = |parts: &mut Parts<'_>| {
            parts.number().map(|time| (time > 0).then(|| Duration::from_millis(time)))
        };
        let idle = time(&mut parts)?;
        let max_requests = Some(parts.small()?).filter(|most| *most > 0);
        let max_rss = Some(parts.number()?).filter(|most| *most > 0);
        let (lifetime, boot_timeout, drain_timeout) =
            (time(&mut parts)?, time(&mut parts)?, time(&mut parts)?);
        let life = Life { least, most, idle, max_requests, max_rss, lifetime, boot_timeout, drain_timeout };
        let user = parts.small()?;
        let owner = AppOwner { user, name: String::from_utf8_lossy(parts.bytes()?).into_owned() };
        Some(Self { name, threads, life, owner })
    }
}

const DEMAND: u64 = 1;

/// Requests of an application wait.
pub(super) fn demand(app: u32) -> Vec<u8> {
    Composer::default().number(DEMAND).number(app.into()).finish()
}

/// The application of which requests wait.
pub(super) fn demanded(message: &[u8]) -> Option<u32> {
    let mut parts = Parts::new(message);
    (parts.number()? == DEMAND).then(|| parts.small())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let life = Life {
            least: 1,
            most: 4,
            max_requests: Some(7),
            max_rss: Some(9),
            lifetime: None,
            ..Life::default()
        };
        let owner = AppOwner { user: 33, name: "www-data".into() };
        let about = About { name: "blog".into(), threads: 3, life, owner };
        let message = about.encode();
        assert_eq!(About::decode(&message), Some(about));
        assert!((0..message.len()).all(|cut| About::decode(&message[..cut]).is_none()));
        assert_eq!((demanded(&demand(9)), demanded(b"")), (Some(9), None));
    }
}
