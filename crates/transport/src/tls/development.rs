//! The two self-signed identities of development, kept in a directory between runs.

use super::TlsIdentity;
use crate::Error;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

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
        let Ok((_, certificate)) = X509Certificate::from_der(&identity.chain[0]) else {
            return false;
        };
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
        };
        let validity = certificate.validity();
        let in_time = validity.not_before.timestamp() <= seconds(now)
            && validity.not_after.timestamp() >= seconds(now + self.renew_before);
        let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
            return false;
        };
        let held: BTreeSet<String> = alternatives.value.general_names.iter().filter_map(name_of).collect();
        in_time && names.is_subset(&held)
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

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|bytes| IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
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
