//! How a guide signs in: links and cookies signed with a secret that lives in the data folder.

use anyhow::Context;
use ring::hmac;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds that a sign-in link works.
const LINK_S: u64 = 24 * 3600;
/// Seconds that a cookie works.
pub(crate) const COOKIE_S: u64 = 12 * 3600;

/// Makes and checks links and cookies. Both are `kind.expiry.nonce.mac`; a link works once.
pub(crate) struct GuideAuth {
    key: hmac::Key,
    /// Expiry of the links that were used, by nonce.
    used: BTreeMap<String, u64>,
}

impl GuideAuth {
    /// Reads the secret, or makes one where there is none.
    pub(crate) fn open(data: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data).with_context(|| format!("can not make the folder {}", data.display()))?;
        let path = data.join("guide-secret");
        let secret = match std::fs::read(&path) {
            Ok(secret) if secret.len() == 32 => secret,
            Ok(_) => anyhow::bail!("{} is damaged: delete it to make a new one", path.display()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let secret: [u8; 32] = rand::random();
                write_private(&path, &secret)?;
                secret.to_vec()
            }
            Err(e) => return Err(e).with_context(|| format!("can not read {}", path.display())),
        };
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            used: BTreeMap::new(),
        })
    }

    /// A token for a sign-in link.
    pub(crate) fn link_token(&self, now: SystemTime) -> String {
        self.sign("link", unix(now) + LINK_S)
    }

    /// Exchanges a link's token for a cookie; `None` when it is wrong, too old or used.
    pub(crate) fn sign_in(&mut self, token: &str, now: SystemTime) -> Option<String> {
        let now = unix(now);
        let expiry = self.check("link", token, now)?;
        self.used.retain(|_, expiry| *expiry > now);
        let nonce = token.split('.').nth(2)?.to_owned();
        if self.used.insert(nonce, expiry).is_some() {
            return None;
        }
        Some(self.sign("cookie", now + COOKIE_S))
    }

    /// Whether a cookie is good.
    pub(crate) fn is_guide(&self, cookie: &str, now: SystemTime) -> bool {
        self.check("cookie", cookie, unix(now)).is_some()
    }

    fn sign(&self, kind: &str, expiry: u64) -> String {
        let body = format!("{kind}.{expiry}.{:032x}", rand::random::<u128>());
        let mac = hmac::sign(&self.key, body.as_bytes());
        let hex: String = mac.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        format!("{body}.{hex}")
    }

    /// The expiry of a good token.
    fn check(&self, kind: &str, token: &str, now: u64) -> Option<u64> {
        let (body, mac) = token.rsplit_once('.')?;
        let mac: Option<Vec<u8>> = (0..mac.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(mac.get(i..i + 2)?, 16).ok())
            .collect();
        hmac::verify(&self.key, body.as_bytes(), &mac?).ok()?;
        let mut fields = body.split('.');
        let expiry = (fields.next()? == kind).then(|| fields.next())??.parse().ok()?;
        (expiry > now).then_some(expiry)
    }
}

/// Writes a file that only this user can read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let partial = path.with_extension("partial");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options
        .open(&partial)
        .with_context(|| format!("can not write {}", partial.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path).with_context(|| format!("can not write {}", path.display()))
}

fn unix(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_link_works_once_and_its_cookie_for_twelve_hours() {
        let dir = tempfile::tempdir().unwrap();
        let mut auth = GuideAuth::open(dir.path()).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        // Another process with the same folder makes links too.
        let token = GuideAuth::open(dir.path()).unwrap().link_token(now);
        let cookie = auth.sign_in(&token, now).unwrap();
        assert!(auth.is_guide(&cookie, now + Duration::from_secs(COOKIE_S - 1)));
        assert!(!auth.is_guide(&cookie, now + Duration::from_secs(COOKIE_S)));
        assert_eq!(auth.sign_in(&token, now), None);
        assert_eq!(auth.sign_in(&cookie, now), None);
        let late = auth.link_token(now);
        assert_eq!(auth.sign_in(&late, now + Duration::from_secs(LINK_S)), None);
    }

    #[test]
    fn forgeries_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let auth = GuideAuth::open(dir.path()).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let good = auth.sign("cookie", 2_000_000_100);
        assert!(auth.is_guide(&good, now));
        for bad in [
            good.replace("2000000100", "3000000100"),
            good.replace("cookie", "link"),
            good[..good.len() - 2].into(),
            String::new(),
            "...".into(),
            "cookie.9.9.zz".into(),
            "é.é.é.éé".into(),
        ] {
            assert!(!auth.is_guide(&bad, now), "{bad}");
        }
    }
}
