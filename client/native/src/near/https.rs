//! The smallest client of HTTPS that gets one file.

use super::Error;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// More than any head of an answer has.
const MOST_HEAD: usize = 16 << 10;
const MOST_FIELDS: usize = 64;

/// Gets `path`, which has `bytes` bytes. Follows nothing: an answer other than 200 is an error.
pub(super) async fn get(server: SocketAddr, path: &str, bytes: u64) -> Result<Vec<u8>, Error> {
    if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::Named("its path is none"));
    }
    let length = usize::try_from(bytes).map_err(|_| Error::TooLarge { bytes })?;
    let tcp = TcpStream::connect(server).await?;
    let name = ServerName::IpAddress(server.ip().into());
    let mut tls = TlsConnector::from(Arc::new(config()?)).connect(name, tcp).await?;
    // In HTTP/1.0 the file comes as it is, not in chunks.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n");
    tls.write_all(request.as_bytes()).await?;
    let mut come = Vec::new();
    let begin = loop {
        if let Some(begin) = head(&come, length)? {
            break begin;
        }
        if come.len() > MOST_HEAD {
            return Err(Error::Answer("a head without an end".to_owned()));
        }
        if tls.read_buf(&mut come).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    };
    let mut file = come.split_off(begin);
    file.truncate(length);
    let rest = file.len();
    file.resize(length, 0);
    tls.read_exact(&mut file[rest..]).await?;
    Ok(file)
}

/// Where the file begins in what has come; `None` while the head is not whole.
fn head(come: &[u8], length: usize) -> Result<Option<usize>, Error> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let wrong = |e: httparse::Error| Error::Answer(format!("what is not HTTP: {e}"));
    let httparse::Status::Complete(begin) = response.parse(come).map_err(wrong)? else {
        return Ok(None);
    };
    let code = response.code.unwrap_or_default();
    if code != 200 {
        return Err(Error::Answer(code.to_string()));
    }
    let said = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"));
    match said {
        Some(field) if field.value != length.to_string().as_bytes() => {
            let said = String::from_utf8_lossy(field.value);
            Err(Error::Answer(format!("with {said} bytes instead of {length}")))
        }
        _ => Ok(Some(begin)),
    }
}

fn config() -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes every certificate. The page's certificate is another one than that of QUIC, which this program knows; and it
/// need not be known: what is fetched is public, and counts only if its SHA-256 is the one that came over the link,
/// whose server was checked. Who stands between can keep the file back, and nothing else.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_good_head_is_one() {
        let good = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(head(good, 5).unwrap(), Some(good.len() - 5));
        assert_eq!(head(&good[..30], 5).unwrap(), None);
        let said = |text: &[u8]| head(text, 5).unwrap_err().to_string();
        assert!(said(b"HTTP/1.1 302 Found\r\nLocation: /a\r\n\r\n").contains("302"));
        assert!(said(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n").contains("6 bytes instead of 5"));
        assert!(said(b"SSH-2.0-x\r\n\r\n").contains("not HTTP"));
    }
}
