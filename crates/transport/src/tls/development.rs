//! The two self-signed identities of development, kept in a directory between runs.

use super::TlsIdentity;
use crate::Error;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(86_400);

/// What a server needs in development.
#[derive(Debug, Clone)]
pub struct Development {
    /// For [`crate::Listener`]: ECDSA P-256, valid for 13 days, since browsers take hashes of at most 14 days.
    pub webtransport: TlsIdentity,
    /// For the HTTPS page: valid for 390 days; the user accepts it once.
    pub page: TlsIdentity,
}

/// One kind of certificate.
struct Recipe {
    file: &'static str,
    lifetime: Duration,
    /// A certificate that ends sooner than this is replaced.
    renew_before: Duration,
}

const WEBTRANSPORT: Recipe = Recipe {
    file: "webtransport",
    lifetime: DAY.saturating_mul(13),
    renew_before: DAY.saturating_mul(2),
};
const PAGE: Recipe = Recipe {
    file: "page",
    lifetime: DAY.saturating_mul(390),
    renew_before: DAY.saturating_mul(14),
};

pub(super) fn load_or_make(names: &[String], dir: &Path, now: SystemTime) -> Result<Development, Error> {
    std::fs::create_dir_all(dir).map_err(|source| Error::File {
        path: dir.to_owned(),
        source,
    })?;
    let mut all: BTreeSet<String> = names.iter().cloned().collect();
    all.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    Ok(Development {
        webtransport: WEBTRANSPORT.load_or_make(&all, dir, now)?,
        page: PAGE.load_or_make(&all, dir, now)?,
    })
}

impl Recipe {
    fn load_or_make(&self, names: &BTreeSet<String>, dir: &Path, now: SystemTime) -> Result<TlsIdentity, Error> {
        let (chain, key) = (
            dir.join(format!("{}.crt", self.file)),
            dir.join(format!("{}.key", self.file)),
        );
        if let (Ok(chain), Ok(key)) = (std::fs::read(&chain), std::fs::read(&key))
            && let Ok(identity) = TlsIdentity::from_pem(&chain, &key)
            && self.is_good(&identity, names, now)
        {
            return Ok(identity);
        }
        let (certificate, key_pair) = self.make(names, now)?;
        write_private(&key, key_pair.serialize_pem().as_bytes())?;
        write(&chain, certificate.pem().as_bytes())?;
        TlsIdentity::from_pem(certificate.pem().as_bytes(), key_pair.serialize_pem().as_bytes())
    }

    fn make(&self, names: &BTreeSet<String>, now: SystemTime) -> Result<(rcgen::Certificate, KeyPair), Error> {
        let failed = |error: rcgen::Error| Error::Identity(error.to_string());
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| alternative(name)).collect::<Result<_, _>>()?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Tongyou development");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Clocks of headsets may be a little behind.
        let start = now.checked_sub(Duration::from_secs(3600)).unwrap_or(now);
        params.not_before = start.into();
        params.not_after = (start + self.lifetime).into();
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        Ok((params.self_signed(&key).map_err(failed)?, key))
    }

    /// Whether a stored certificate still has enough time and all names.
    fn is_good(&self, identity: &TlsIdentity, names: &BTreeSet<String>, now: SystemTime) -> bool {
        let Ok(details) = identity.details() else {
            return false;
        };
        let in_time = details.not_before <= now && details.not_after >= now + self.renew_before;
        in_time && names.iter().all(|name| details.names.contains(name))
    }
}

fn alternative(name: &str) -> Result<SanType, Error> {
    match name.parse::<IpAddr>() {
        Ok(ip) => Ok(SanType::IpAddress(ip)),
        Err(_) => {
            let dns = name
                .try_into()
                .map_err(|error| Error::Identity(format!("name {name:?}: {error}")))?;
            Ok(SanType::DnsName(dns))
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace(path, bytes, std::fs::OpenOptions::new())
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    replace(path, bytes, options)
}

/// Writes beside the file and renames, so that a crash leaves the old one, and a key is never readable by others.
fn replace(path: &Path, bytes: &[u8], mut options: std::fs::OpenOptions) -> Result<(), Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let beside: PathBuf = path.with_extension("new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = options.write(true).create_new(true).open(&beside).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path) -> Vec<Vec<u8>> {
        ["webtransport.crt", "webtransport.key", "page.crt", "page.key"]
            .map(|file| std::fs::read(dir.join(file)).unwrap())
            .into()
    }

    fn days(identity: &TlsIdentity) -> u64 {
        let details = identity.details().unwrap();
        let lasts = details.not_after.duration_since(details.not_before).unwrap();
        lasts.as_secs() / 86_400
    }

    #[test]
    fn certificates_are_kept_until_they_end_and_then_rotated() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let make = |now| TlsIdentity::development(&["192.168.1.7".into()], dir.path(), now).unwrap();
        let first = make(now);
        assert_eq!(
            (days(&first.webtransport), days(&first.page)),
            (13, 390),
            "browsers take 14 and 397 at most"
        );
        assert_ne!(first.webtransport.sha256(), first.page.sha256());
        let again = make(now + DAY * 10);
        assert_eq!(again.webtransport.sha256(), first.webtransport.sha256());
        let rotated = make(now + DAY * 12);
        assert_ne!(rotated.webtransport.sha256(), first.webtransport.sha256());
        assert_eq!(rotated.page.sha256(), first.page.sha256(), "the page's lives longer");
        assert_ne!(make(now + DAY * 380).page.sha256(), first.page.sha256());
    }

    #[test]
    fn a_new_name_or_a_damaged_file_makes_a_new_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let first = TlsIdentity::development(&names(&["192.168.1.7", "tour.local"]), dir.path(), now).unwrap();
        let fewer = TlsIdentity::development(&names(&["tour.local"]), dir.path(), now).unwrap();
        assert_eq!(first.page.sha256(), fewer.page.sha256());
        let moved = TlsIdentity::development(&names(&["192.168.1.8"]), dir.path(), now).unwrap();
        assert_ne!(first.page.sha256(), moved.page.sha256());
        std::fs::write(dir.path().join("page.key"), "not a key").unwrap();
        let mended = TlsIdentity::development(&names(&["192.168.1.8"]), dir.path(), now).unwrap();
        assert_ne!(mended.page.sha256(), moved.page.sha256());
        let error = TlsIdentity::development(&names(&["dörf\u{0}"]), dir.path(), now).unwrap_err();
        assert!(error.to_string().contains("dörf"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        TlsIdentity::development(&[], dir.path(), SystemTime::now()).unwrap();
        for key in ["page.key", "webtransport.key"] {
            let mode = std::fs::metadata(dir.path().join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            4,
            "nothing else is left behind"
        );
    }

    #[test]
    fn pem_is_checked_as_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let identities = TlsIdentity::development(&[], dir.path(), SystemTime::now()).unwrap();
        let pem = files(dir.path());
        let (chain, key, other_key) = (&pem[0], &pem[1], &pem[3]);
        assert_eq!(
            TlsIdentity::from_pem(chain, key).unwrap().sha256(),
            identities.webtransport.sha256()
        );
        assert!(
            TlsIdentity::from_pem(b"", key)
                .unwrap_err()
                .to_string()
                .contains("certificate")
        );
        assert!(
            TlsIdentity::from_pem(chain, b"")
                .unwrap_err()
                .to_string()
                .contains("key")
        );
        assert!(
            TlsIdentity::from_pem(chain, other_key).is_err(),
            "a key that belongs to another certificate"
        );
    }
}
