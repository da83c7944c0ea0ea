use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Mutex;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::ServerName;
use tongyou_transport::{Config as LinkConfig, Event, Events, Kind, Link, ServerTrust, connect, connect_webtransport};

use super::*;
use crate::config::Options;
use crate::guide_auth::GuideAuth;
use crate::http::{self, Http};

const DAY: Duration = Duration::from_secs(86_400);

fn config(dir: &Path, toml: &str) -> Config {
    let path = dir.join("server.toml");
    let data = dir.join("data");
    std::fs::write(
        &path,
        format!("listen = '127.0.0.1:0'\ndata = '{}'\n{toml}", data.display()),
    )
    .unwrap();
    Options::of_file(path).resolve().unwrap()
}

fn bind(certificates: &Certificates) -> (Listener, SocketAddr) {
    let listener = Listener::bind(
        SocketAddr::from(([127, 0, 0, 1], 0)),
        &certificates.quic(),
        LinkConfig::server(),
    )
    .unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

type Side = (Arc<dyn Link>, Events);

async fn pair(listener: &Listener, addr: SocketAddr, trust: &ServerTrust) -> (Side, Side) {
    let (client, server) = tokio::join!(
        connect(addr, "tour.example", trust, LinkConfig::client()),
        listener.accept()
    );
    (server.unwrap(), client.unwrap())
}

async fn says_hello((client, _): &Side, (_, events): &mut Side) {
    client.send_control(Bytes::from_static(b"hello")).unwrap();
    let event = tokio::time::timeout(Duration::from_secs(10), events.recv()).await;
    assert_eq!(event.unwrap(), Some(Event::Control(Bytes::from_static(b"hello"))));
}

#[tokio::test]
async fn a_development_certificate_is_renewed_while_links_live_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "");
    let now = SystemTime::now();
    let certificates = Certificates::load(&config, now).unwrap();
    let (listener, addr) = bind(&certificates);
    let old = certificates.pin().unwrap();
    let (mut server, client) = pair(&listener, addr, &ServerTrust::CertificateHash(old)).await;
    says_hello(&client, &mut server).await;

    assert!(
        !certificates.renew(now + DAY * 10, &listener).unwrap(),
        "it has three days yet"
    );
    let page = Arc::as_ptr(&certificates.pages().get_inner());
    assert!(certificates.renew(now + DAY * 11, &listener).unwrap());
    let new = certificates.pin().unwrap();
    assert_ne!(new, old);
    assert_eq!(
        Arc::as_ptr(&certificates.pages().get_inner()),
        page,
        "the page's lives longer"
    );
    let end = certificates.quic().details().unwrap().not_after;
    assert!(end > now + DAY * 23, "good for another 13 days");

    says_hello(&client, &mut server).await;
    let again = connect(addr, "x", &ServerTrust::CertificateHash(old), LinkConfig::client()).await;
    assert!(again.is_err(), "the old hash is over");
    let (mut server, client) = pair(&listener, addr, &ServerTrust::CertificateHash(new)).await;
    says_hello(&client, &mut server).await;

    assert!(certificates.renew(now + DAY * 380, &listener).unwrap());
    assert_ne!(Arc::as_ptr(&certificates.pages().get_inner()), page);
    // What was renewed is found at the next start.
    let later = Certificates::load(&config, now + DAY * 381).unwrap();
    assert_eq!(later.pin(), certificates.pin());
}

/// An authority's certificate, and the PEM of one that it signed with its key.
struct Given {
    roots: rustls::RootCertStore,
    chain: String,
    key: String,
}

fn given(names: &[&str], begins: SystemTime, ends: SystemTime) -> Given {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let mut params = CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
    params.not_before = begins.into();
    params.not_after = ends.into();
    let key = KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    Given {
        roots,
        chain: signed.pem() + &root.pem(),
        key: key.serialize_pem(),
    }
}

fn write(dir: &Path, given: &Given) -> String {
    let (chain, key) = (dir.join("chain.pem"), dir.join("key.pem"));
    std::fs::write(&chain, &given.chain).unwrap();
    std::fs::write(&key, &given.key).unwrap();
    format!("certificate = '{}'\nkey = '{}'\n", chain.display(), key.display())
}

#[tokio::test]
async fn a_given_certificate_serves_pages_and_both_kinds_of_quic_without_a_pin() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let given = given(&["*.example", "tour.example", "127.0.0.1"], now - DAY, now + DAY);
    let config = config(dir.path(), &write(dir.path(), &given));
    let certificates = Arc::new(Certificates::load(&config, now).unwrap());
    assert_eq!(certificates.pin(), None);
    assert_eq!(certificates.hosts()[0], "tour.example");
    assert_eq!(hosts(&config).unwrap()[0], "tour.example", "also in a guide's link");
    assert!(!config.data.join("page.crt").exists(), "nothing is made");

    let (listener, addr) = bind(&certificates);
    let trust = ServerTrust::Roots(given.roots.clone());
    let (mut server, client) = pair(&listener, addr, &trust).await;
    says_hello(&client, &mut server).await;
    let (web, server) = tokio::join!(
        connect_webtransport(addr, &trust, LinkConfig::client()),
        listener.accept()
    );
    let (web, mut server) = (web.unwrap(), server.unwrap());
    assert_eq!(server.0.info().kind, Kind::WebTransport);
    says_hello(&web, &mut server).await;
    assert!(
        connect(addr, "tour.example", &ServerTrust::System, LinkConfig::client())
            .await
            .is_err()
    );

    let (mailbox, _events) = crate::event::mailbox();
    let router = http::router(Arc::new(Http {
        auth: Mutex::new(GuideAuth::open(&config.data).unwrap()),
        tours: Vec::new(),
        certificates: certificates.clone(),
        port: addr.port(),
        origin: String::new(),
        mailbox,
        local: crate::local::Files::new(),
        misses: Mutex::default(),
    }));
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    tcp.set_nonblocking(true).unwrap();
    let pages_at = tcp.local_addr().unwrap();
    let pages = axum_server::from_tcp_rustls(tcp, certificates.pages()).unwrap();
    let serving = tokio::spawn(pages.serve(router.into_make_service()));
    let roots = given.roots;
    let answer = tokio::task::spawn_blocking(move || get(pages_at, roots, "/api/connect"));
    let answer = answer.await.unwrap();
    serving.abort();
    let body: serde_json::Value = serde_json::from_str(answer.rsplit("\r\n\r\n").next().unwrap()).unwrap();
    assert_eq!(body["certificate_sha256"], serde_json::Value::Null, "{answer}");
    assert_eq!(body["port"], addr.port());
}

/// An answer to a request, with its head.
fn get(addr: SocketAddr, roots: rustls::RootCertStore, path: &str) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("tour.example").unwrap();
    let client = rustls::ClientConnection::new(Arc::new(tls), name).unwrap();
    let tcp = std::net::TcpStream::connect(addr).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut stream = rustls::StreamOwned::new(client, tcp);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: tour.example\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn mistakes_are_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let good = given(&["tour.example"], now - DAY, now + DAY);
    let error = |given: &Given, spoil: &dyn Fn(&Path)| {
        let config = config(dir.path(), &write(dir.path(), given));
        spoil(dir.path());
        format!("{:#}", Certificates::load(&config, now).map(|_| ()).unwrap_err())
    };
    let nothing = |_: &Path| {};
    let ended = given(&["tour.example"], now - DAY * 2, now - DAY);
    let early = given(&["tour.example"], now + DAY, now + DAY * 2);
    let swapped = Given {
        roots: rustls::RootCertStore::empty(),
        chain: good.chain.clone(),
        key: ended.key.clone(),
    };
    let found = [
        error(&ended, &nothing),
        error(&early, &nothing),
        error(&swapped, &nothing),
        error(&good, &|dir| std::fs::remove_file(dir.join("key.pem")).unwrap()),
        error(&good, &|dir| std::fs::write(dir.join("chain.pem"), "hello").unwrap()),
    ];
    let expected: [&[&str]; 5] = [
        &["chain.pem", "has ended", "renew"],
        &["chain.pem", "not good yet", "clock"],
        &["chain.pem", "key.pem", "can not be used"],
        &["key.pem", "--key"],
        &["chain.pem", "no certificate", "PEM"],
    ];
    for (error, words) in found.iter().zip(expected) {
        for word in words {
            assert!(error.contains(word), "{error:?} lacks {word:?}");
        }
    }
}
