//! Fetching local models over HTTPS: what is right is taken, everything else is an error that says what it is.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use glam::{Quat, Vec3};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tongyou_client::near::fetch;
use tongyou_protocol::control::LocalModel;
use tongyou_scene::{Mesh, Node, Primitive, Scene, write_glb};
use tongyou_transport::TlsIdentity;

fn file() -> Vec<u8> {
    let triangle = Primitive {
        positions: vec![Vec3::ZERO, Vec3::X, Vec3::Y],
        normals: vec![Vec3::Z; 3],
        indices: vec![0, 1, 2],
        ..Primitive::default()
    };
    let scene = Scene {
        nodes: vec![Node {
            name: "post".to_owned(),
            parent: None,
            translation: Vec3::ZERO,
            rotation: Quat::IDENTITY,
            scale: Vec3::ONE,
            mesh: Some(0),
            light: None,
        }],
        meshes: vec![Mesh {
            name: "post".to_owned(),
            primitives: vec![triangle],
        }],
        ..Scene::default()
    };
    write_glb(&scene).unwrap()
}

fn model(file: &[u8]) -> LocalModel {
    LocalModel {
        url_path: "/local/post.glb".to_owned(),
        sha256: Sha256::digest(file).to_vec(),
        bytes: file.len() as u64,
    }
}

/// Answers every request with this, over TLS with a certificate that nobody knows.
async fn server(answer: Vec<u8>) -> SocketAddr {
    let folder = tempfile::tempdir().unwrap();
    let identity = TlsIdentity::development(&[], folder.path(), SystemTime::now())
        .unwrap()
        .webtransport;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain().to_vec(), identity.key().clone_key())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let mut tls = acceptor.accept(tcp).await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert!(tls.read_buf(&mut request).await.unwrap() > 0);
            }
            assert!(request.starts_with(b"GET /local/post.glb HTTP/1.0\r\n"));
            tls.write_all(&answer).await.unwrap();
            tls.shutdown().await.unwrap();
        }
    });
    addr
}

fn ok(file: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", file.len());
    [head.as_bytes(), file].concat()
}

#[tokio::test]
async fn the_file_that_the_server_named_is_read() {
    let file = file();
    let scene = fetch(server(ok(&file)).await, &model(&file)).await.unwrap();
    assert_eq!(scene.nodes[0].name, "post");
    assert_eq!(scene.meshes[0].primitives[0].indices.len(), 3);
}

#[tokio::test]
async fn anything_else_is_an_error() {
    let file = file();
    let said = async |answer: Vec<u8>, model: LocalModel| {
        let error = fetch(server(answer).await, &model).await.unwrap_err();
        error.to_string()
    };
    let mut other = file.clone();
    *other.last_mut().unwrap() ^= 1;
    assert!(said(ok(&other), model(&file)).await.contains("SHA-256"));
    assert!(said(ok(&file[1..]), model(&file)).await.contains("bytes instead of"));
    let moved = b"HTTP/1.0 302 Found\r\nLocation: /x\r\n\r\n".to_vec();
    assert!(said(moved, model(&file)).await.contains("answered 302"));
    // Half of it, and then the end.
    let half = ok(&file)[..file.len() / 2].to_vec();
    assert!(said(half, model(&file)).await.contains("fetching it"));
    // What is no model, although it is what the server said.
    let text = b"no model".to_vec();
    let error = said(ok(&text), model(&text)).await;
    assert!(error.contains("/local/post.glb"), "{error}");
    let too_large = LocalModel {
        bytes: 1 << 40,
        ..model(&file)
    };
    assert!(said(ok(&file), too_large).await.contains("too many"));
    let smuggled = LocalModel {
        url_path: "/a HTTP/1.1\r\nX: y".to_owned(),
        ..model(&file)
    };
    assert!(said(ok(&file), smuggled).await.contains("path"));
}
