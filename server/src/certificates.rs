//! The certificates of HTTPS and QUIC: the operator's own, or self-signed ones that are renewed while the server runs.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use axum_server::tls_rustls::RustlsConfig;
use tongyou_transport::{Listener, TlsIdentity};
use tracing::{error, info, warn};

use crate::config::Config;

/// How often the certificates' ends are looked at.
const LOOK: Duration = Duration::from_secs(3600);
/// The operator is told of the end of a certificate this long before.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 86_400);
const DAY_S: u64 = 86_400;

/// What the server shows to clients, now.
pub(crate) struct Certificates {
    source: Source,
    /// Names and addresses of this machine, the one for links first.
    hosts: Vec<String>,
    pages: RustlsConfig,
    shown: RwLock<Shown>,
}

enum Source {
    /// Made here, kept in a folder.
    Development { dir: PathBuf },
    /// Given by the operator.
    Given { file: PathBuf },
}

#[derive(Clone)]
struct Shown {
    quic: TlsIdentity,
    page_sha256: [u8; 32],
}

impl Certificates {
    /// Reads or makes them.
    pub(crate) fn load(config: &Config, now: SystemTime) -> anyhow::Result<Self> {
        let (source, hosts, quic, page) = if let Some((file, identity)) = given(config)? {
            check(config, &file, &identity, now)?;
            let hosts = hosts_of(config, Some(&identity))?;
            (Source::Given { file }, hosts, identity.clone(), identity)
        } else {
            let dir = config.data.clone();
            let hosts = hosts_of(config, None)?;
            let both = TlsIdentity::development(&hosts, &dir, now)?;
            (Source::Development { dir }, hosts, both.webtransport, both.page)
        };
        Ok(Self {
            source,
            hosts,
            pages: RustlsConfig::from_config(Arc::new(page_tls(&page)?)),
            shown: RwLock::new(Shown {
                quic,
                page_sha256: page.sha256(),
            }),
        })
    }

    /// For the listener.
    pub(crate) fn quic(&self) -> TlsIdentity {
        self.shown().quic
    }

    /// For the pages; it follows what is renewed.
    pub(crate) fn pages(&self) -> RustlsConfig {
        self.pages.clone()
    }

    /// Of QUIC's certificate.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        self.shown().quic.sha256()
    }

    /// The hash by which a page must know the server; `None` where browsers trust the certificate anyway.
    pub(crate) fn pin(&self) -> Option<[u8; 32]> {
        match self.source {
            Source::Development { .. } => Some(self.sha256()),
            Source::Given { .. } => None,
        }
    }

    /// Names and addresses of this machine, the one for links first.
    pub(crate) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Renews what ends soon, for connections from now on; those that are open stay. Returns whether anything changed.
    ///
    /// # Errors
    /// When a new one can not be made or used; the old ones stay.
    pub(crate) fn renew(&self, now: SystemTime, listener: &Listener) -> anyhow::Result<bool> {
        let dir = match &self.source {
            Source::Development { dir } => dir,
            Source::Given { file } => {
                self.warn_of_end(file, now)?;
                return Ok(false);
            }
        };
        let both = TlsIdentity::development(&self.hosts, dir, now)?;
        let old = self.shown();
        let new = Shown {
            page_sha256: both.page.sha256(),
            quic: both.webtransport,
        };
        let (quic, page) = (
            new.quic.sha256() != old.quic.sha256(),
            new.page_sha256 != old.page_sha256,
        );
        if page {
            self.pages.reload_from_config(Arc::new(page_tls(&both.page)?));
        }
        if quic {
            // Pages are told the new hash, below, once it is good.
            listener.set_identity(&new.quic)?;
        }
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(quic || page)
    }

    fn warn_of_end(&self, file: &Path, now: SystemTime) -> anyhow::Result<()> {
        let end = self.shown().quic.details()?.not_after;
        match end.duration_since(now) {
            Ok(left) if left < WARN_BEFORE => warn!(
                "the certificate {} ends in {} days: replace the file and start the server again",
                file.display(),
                left.as_secs() / DAY_S
            ),
            Ok(_) => {}
            Err(_) => error!(
                "the certificate {} has ended, headsets can not connect: replace the file and start the server again",
                file.display()
            ),
        }
        Ok(())
    }

    fn shown(&self) -> Shown {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Renews them in time, for ever.
pub(crate) async fn keep(certificates: Arc<Certificates>, listener: Arc<Listener>) {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        match certificates.renew(SystemTime::now(), &listener) {
            Ok(true) => info!("the certificate was renewed; pages learn of it when they connect"),
            Ok(false) => {}
            Err(e) => error!("the certificate can not be renewed: {e:#}. Tried again in an hour"),
        }
    }
}

/// Names and addresses of this machine, the one for links first: a name that was given, else one of the operator's
/// certificate, else an address in the local network, else localhost.
pub(crate) fn hosts(config: &Config) -> anyhow::Result<Vec<String>> {
    let given = given(config)?;
    hosts_of(config, given.as_ref().map(|(_, identity)| identity))
}

fn hosts_of(config: &Config, given: Option<&TlsIdentity>) -> anyhow::Result<Vec<String>> {
    let mut hosts = config.names.clone();
    if let Some(identity) = given {
        let names = identity.details()?.names;
        let new = |n: &String| !n.starts_with("*.") && !config.names.contains(n);
        hosts.extend(names.into_iter().filter(new));
    }
    if config.listen.ip().is_unspecified() {
        let found = if_addrs::get_if_addrs().unwrap_or_default();
        let mut local: Vec<IpAddr> = found
            .iter()
            .map(if_addrs::Interface::ip)
            .filter(|ip| !ip.is_loopback() && ip.is_ipv4())
            .collect();
        // A private address is what a headset in the same hall reaches; a container's bridge is not.
        let is_bridge = |ip: &IpAddr| found.iter().any(|i| i.ip() == *ip && i.name.starts_with("docker"));
        local.sort_by_key(|ip| (is_bridge(ip), !matches!(ip, IpAddr::V4(v4) if v4.is_private()), *ip));
        hosts.extend(local.iter().map(IpAddr::to_string));
    } else {
        hosts.push(config.listen.ip().to_string());
    }
    hosts.push("localhost".to_owned());
    Ok(hosts)
}

/// The operator's own, where there is one.
fn given(config: &Config) -> anyhow::Result<Option<(PathBuf, TlsIdentity)>> {
    let Some((certificate, key)) = &config.certificate else {
        return Ok(None);
    };
    let read = |path: &Path, flag: &str| {
        std::fs::read(path).with_context(|| format!("can not read {} (see --{flag})", path.display()))
    };
    let (chain, private) = (read(certificate, "certificate")?, read(key, "key")?);
    let identity = TlsIdentity::from_pem(&chain, &private).with_context(|| {
        format!(
            "{} and {} can not be used: the first must hold the server's certificate and those above it, the second \
             its private key, both in PEM",
            certificate.display(),
            key.display()
        )
    })?;
    Ok(Some((certificate.clone(), identity)))
}

/// Finds what would only show at the first headset.
fn check(config: &Config, file: &Path, identity: &TlsIdentity, now: SystemTime) -> anyhow::Result<()> {
    let details = identity.details()?;
    if details.not_after <= now {
        bail!("the certificate {} has ended: renew it", file.display());
    }
    if details.not_before > now {
        bail!(
            "the certificate {} is not good yet: look at this machine's clock",
            file.display()
        );
    }
    for name in config.names.iter().filter(|name| !details.is_for(name)) {
        warn!(
            "the certificate {} is not for {name:?} but for {}: browsers will refuse that name",
            file.display(),
            details.names.join(", ")
        );
    }
    if config.names.is_empty() && !details.names.iter().any(|n| !n.starts_with("*.")) {
        warn!(
            "the certificate {} names no single host: say with --name under which headsets reach this machine",
            file.display()
        );
    }
    Ok(())
}

fn page_tls(identity: &TlsIdentity) -> anyhow::Result<rustls::ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(identity.chain().to_vec(), identity.key().clone_key())?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

#[cfg(test)]
mod tests;
