//! Certificates: what a server shows, and how a client judges it.

mod details;
mod development;
mod verify;

use crate::{Error, ServerTrust};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

pub use details::CertificateDetails;
pub use development::Development;

/// A certificate chain and its key.
pub struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl TlsIdentity {
    /// Reads a chain (the server's own certificate first) and its key.
    ///
    /// # Errors
    /// When either is not PEM, or there is no certificate or key in it.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        let failed = |what: &str, why: &dyn fmt::Display| Error::Identity(format!("{what}: {why}"));
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed("certificate chain", &error))?;
        if chain.is_empty() {
            return Err(failed("certificate chain", &"no certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| failed("private key", &error))?;
        let identity = Self { chain, key };
        // Finds a key that does not belong to the certificate now, not at the first client.
        server_config(&identity, [Vec::new()])?;
        Ok(identity)
    }

    /// Makes, or reads if they are still good, the two identities of development from a directory: one for
    /// WebTransport by hash and one for the HTTPS page. `names` are host names and addresses; `localhost` and the
    /// loopback addresses are always added. Key files are readable by their owner alone.
    ///
    /// # Errors
    /// When the directory can not be used, or a name can not stand in a certificate.
    pub fn development(names: &[String], dir: &Path, now: SystemTime) -> Result<Development, Error> {
        development::load_or_make(names, dir, now)
    }

    /// The SHA-256 of the server's own certificate in DER: what a browser wants in `serverCertificateHashes`.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.chain[0])
    }

    /// The chain in DER, the server's own certificate first; for an HTTPS server.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key; for an HTTPS server.
    #[must_use]
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }
}

impl Clone for TlsIdentity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TlsIdentity({} certificates)", self.chain.len())
    }
}

pub(crate) fn server_config(
    identity: &TlsIdentity,
    alpn: impl Into<Vec<Vec<u8>>>,
) -> Result<quinn::crypto::rustls::QuicServerConfig, Error> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_error)?
        .with_no_client_auth()
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(tls_error)?;
    config.alpn_protocols = alpn.into();
    quinn::crypto::rustls::QuicServerConfig::try_from(config).map_err(tls_error)
}

pub(crate) fn client_config(
    trust: &ServerTrust,
    alpn: &[u8],
) -> Result<quinn::crypto::rustls::QuicClientConfig, Error> {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_error)?;
    let mut config = match trust {
        ServerTrust::CertificateHash(hash) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verify::Pinned::new(*hash, &provider())))
            .with_no_client_auth(),
        ServerTrust::Roots(roots) => builder.with_root_certificates(roots.clone()).with_no_client_auth(),
        ServerTrust::System => builder.with_root_certificates(system_roots()?).with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    quinn::crypto::rustls::QuicClientConfig::try_from(config).map_err(tls_error)
}

fn system_roots() -> Result<rustls::RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(Error::Tls(format!(
            "the system has no trusted certificates: {:?}",
            found.errors
        )));
    }
    Ok(roots)
}

/// The one provider of cryptography in the project; no process-wide default is set or needed.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn tls_error(error: impl fmt::Display) -> Error {
    Error::Tls(error.to_string())
}
