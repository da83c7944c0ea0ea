//! What a certificate says of itself.

use super::TlsIdentity;
use crate::Error;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

/// What a server's own certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateDetails {
    /// The host names and addresses that it is for; names may begin with `*.`.
    pub names: Vec<String>,
    /// When it begins to be good.
    pub not_before: SystemTime,
    /// When it ends.
    pub not_after: SystemTime,
}

impl TlsIdentity {
    /// What the server's own certificate says.
    ///
    /// # Errors
    /// When it can not be read as X.509.
    pub fn details(&self) -> Result<CertificateDetails, Error> {
        let failed = |why: &dyn std::fmt::Display| Error::Identity(format!("certificate: {why}"));
        let (_, certificate) = X509Certificate::from_der(&self.chain[0]).map_err(|e| failed(&e))?;
        let alternatives = certificate.subject_alternative_name().map_err(|e| failed(&e))?;
        let names = alternatives.map(|a| a.value.general_names.iter().filter_map(name_of).collect());
        let validity = certificate.validity();
        Ok(CertificateDetails {
            names: names.unwrap_or_default(),
            not_before: system_time(validity.not_before),
            not_after: system_time(validity.not_after),
        })
    }
}

impl CertificateDetails {
    /// Whether it is for a host name or an address.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let rest = host.split_once('.').map(|(_, rest)| rest);
        self.names.iter().any(|name| {
            let any = name.strip_prefix("*.");
            name.eq_ignore_ascii_case(host) || any.zip(rest).is_some_and(|(any, rest)| any.eq_ignore_ascii_case(rest))
        })
    }
}

fn system_time(time: ASN1Time) -> SystemTime {
    let seconds = Duration::from_secs(time.timestamp().unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let at = if time.timestamp() < 0 {
        epoch.checked_sub(seconds)
    } else {
        epoch.checked_add(seconds)
    };
    at.unwrap_or(epoch)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        let details = CertificateDetails {
            names: ["*.tour.example", "Tour.example", "10.0.0.7"].map(str::to_owned).into(),
            not_before: SystemTime::UNIX_EPOCH,
            not_after: SystemTime::UNIX_EPOCH,
        };
        for (host, good) in [
            ("tour.example", true),
            ("vr.tour.example", true),
            ("a.vr.tour.example", false),
            ("example", false),
            ("10.0.0.7", true),
            ("10.0.0.8", false),
            ("", false),
        ] {
            assert_eq!(details.is_for(host), good, "{host}");
        }
    }
}
