//! The web client's files. A release build carries them inside; a development build reads `client/web/dist`.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../client/web/dist"]
#[allow_missing = true]
struct Pages;

/// What the browser may do on our pages: our own scripts, workers and connections, nothing of others.
const POLICY: &str = "default-src 'self'; connect-src 'self' https:; worker-src 'self' blob:; \
    script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// Answers a request for a page's file.
pub(crate) fn serve(path: &str) -> Response<Body> {
    let path = match path {
        "" | "/" => "index.html",
        "/guide" | "/guide/" => "guide.html",
        "/projector" | "/projector/" => "projector.html",
        other => other.trim_start_matches('/'),
    };
    let Some(file) = Pages::get(path) else {
        let text = if path.ends_with(".html") {
            "The web page has not been built: run `cargo xtask build`."
        } else {
            "There is nothing here."
        };
        return respond(
            StatusCode::NOT_FOUND,
            "text/plain; charset=utf-8",
            "no-store",
            text.into(),
        );
    };
    // Vite puts a content hash into the name of everything under assets/.
    let cache = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    respond(StatusCode::OK, media_type(path), cache, file.data.into_owned().into())
}

/// A file that never changes under its address, if it is there.
pub(crate) fn immutable(media_type: &'static str, file: Option<bytes::Bytes>) -> Response<Body> {
    let Some(file) = file else {
        let nothing = "There is nothing here.";
        return respond(
            StatusCode::NOT_FOUND,
            "text/plain; charset=utf-8",
            "no-store",
            nothing.into(),
        );
    };
    respond(
        StatusCode::OK,
        media_type,
        "public, max-age=31536000, immutable",
        file.into(),
    )
}

fn respond(status: StatusCode, media_type: &'static str, cache: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Cross-origin isolation gives the page a clock of 5 µs.
        (
            header::HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            header::HeaderName::from_static("cross-origin-embedder-policy"),
            "require-corp",
        ),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}
