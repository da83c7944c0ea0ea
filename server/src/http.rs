//! HTTPS: the pages, how to connect, and the guide's console.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tongyou_protocol::SessionCode;
use tongyou_scene::{Text, Tour};

use crate::certificates::Certificates;
use crate::event::{Ask, Event, Granted, Mailbox};
use crate::guide_auth::{COOKIE_S, GuideAuth};
use crate::local::Files;
use crate::pages;

const COOKIE: &str = "tongyou_guide";
/// Codes that do not exist which may be asked for, by all together, before nobody is told any more.
const MOST_MISSES: usize = 60;
const MISSES_WITHIN: Duration = Duration::from_secs(60);

/// What the handlers share.
pub(crate) struct Http {
    pub(crate) auth: Mutex<GuideAuth>,
    pub(crate) tours: Vec<Arc<Tour>>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) port: u16,
    /// `https://host:port` as a headset reaches it.
    pub(crate) origin: String,
    pub(crate) mailbox: Mailbox,
    /// What headsets draw themselves.
    pub(crate) local: Files,
    /// When the last codes that do not exist were asked for.
    pub(crate) misses: Mutex<VecDeque<Instant>>,
}

type Shared = State<Arc<Http>>;

/// All routes.
pub(crate) fn router(http: Arc<Http>) -> Router {
    let guide = Router::new()
        .route("/tours", get(tours))
        .route("/sessions", get(sessions).post(create))
        .route("/sessions/{code}/grant", post(grant))
        .route_layer(middleware::from_fn_with_state(http.clone(), only_guides));
    Router::new()
        .route("/api/connect", get(connect))
        .route("/api/join/{code}", get(join))
        .route("/local/{file}", get(local))
        .route("/guide/login", get(login))
        .nest("/api/guide", guide)
        .fallback(|request: Request| async move { pages::serve(request.uri().path()) })
        .with_state(http)
}

/// A sentence for a person, with a status.
struct Failure(StatusCode, String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

async fn connect(State(http): Shared) -> Json<Value> {
    Json(json!({
        "path": tongyou_transport::WEBTRANSPORT_PATH,
        "port": http.port,
        // A page asks at each connection, since it may have been renewed; nothing where browsers trust it anyway.
        "certificate_sha256": http.certificates.pin().map(|hash| STANDARD.encode(hash)),
        "protocol_version": tongyou_protocol::VERSION,
    }))
}

/// How a session is joined, for the big screen to show: whoever knows the code may know it.
async fn join(State(http): Shared, Path(code): Path<String>) -> Result<Json<Value>, Failure> {
    let misses = || http.misses.lock().unwrap_or_else(PoisonError::into_inner);
    misses().retain(|at| at.elapsed() < MISSES_WITHIN);
    if misses().len() >= MOST_MISSES {
        let text = "Too many codes that do not exist were asked for. Try again in a minute.";
        return Err(Failure(StatusCode::TOO_MANY_REQUESTS, text.to_owned()));
    }
    let code: Option<SessionCode> = code.parse().ok();
    let all = ask(&http, Ask::Sessions).await?;
    let Some(session) = all.iter().find(|session| Some(session.code) == code) else {
        misses().push_back(Instant::now());
        return Err(Failure(
            StatusCode::NOT_FOUND,
            "There is no session with this code.".to_owned(),
        ));
    };
    let tour = http.tours.iter().find(|tour| tour.id == session.tour);
    let url = join_url(&http.origin, session.code);
    Ok(Json(
        json!({ "join_url": url, "qr_svg": qr_svg(&url), "title": tour.map(|tour| text(&tour.title)) }),
    ))
}

async fn local(State(http): Shared, Path(file): Path<String>) -> Response<Body> {
    let found = file.strip_suffix(".glb").and_then(|name| http.local.get(name));
    pages::immutable("model/gltf-binary", found.cloned())
}

#[derive(Deserialize)]
struct Login {
    token: String,
}

async fn login(State(http): Shared, Query(login): Query<Login>) -> Result<Response<Body>, Failure> {
    let cookie = http
        .auth
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .sign_in(&login.token, SystemTime::now());
    let Some(cookie) = cookie else {
        let text = "This link has been used or is too old. `tongyou-server guide-link` prints another.";
        return Err(Failure(StatusCode::FORBIDDEN, text.to_owned()));
    };
    let mut response = Redirect::to("/guide").into_response();
    let value = format!("{COOKIE}={cookie}; Max-Age={COOKIE_S}; Path=/; Secure; HttpOnly; SameSite=Lax");
    let value = HeaderValue::from_str(&value).map_err(|e| Failure(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

async fn only_guides(State(http): Shared, request: Request, next: Next) -> Result<Response<Body>, Failure> {
    if !is_guide(&http, request.headers()) {
        let text = "Sign in first: open the link that the server printed, or run `tongyou-server guide-link`.";
        return Err(Failure(StatusCode::UNAUTHORIZED, text.to_owned()));
    }
    // A cookie alone does not prove that the guide's own page asks: other sites can not set this header.
    let same_site = request
        .headers()
        .get("sec-fetch-site")
        .is_none_or(|v| v == "same-origin" || v == "none");
    if !same_site {
        return Err(Failure(
            StatusCode::FORBIDDEN,
            "This was asked by another site.".to_owned(),
        ));
    }
    Ok(next.run(request).await)
}

fn is_guide(http: &Http, headers: &HeaderMap) -> bool {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    let mut values = cookies
        .flat_map(|v| v.split(';'))
        .filter_map(|c| c.trim().split_once('='));
    let auth = http.auth.lock().unwrap_or_else(PoisonError::into_inner);
    values.any(|(name, value)| name == COOKIE && auth.is_guide(value, SystemTime::now()))
}

async fn tours(State(http): Shared) -> Json<Value> {
    let tour = |t: &Arc<Tour>| {
        let stops: Vec<Value> = t.stops.iter().map(|s| text(&s.title)).collect();
        json!({ "id": t.id, "title": text(&t.title), "notice": t.notice.as_ref().map(text), "stops": stops })
    };
    Json(http.tours.iter().map(tour).collect())
}

async fn sessions(State(http): Shared) -> Result<Json<Value>, Failure> {
    let all = ask(&http, Ask::Sessions).await?;
    let session = |s: &tongyou_session::SessionInfo| {
        let title = http.tours.iter().find(|t| t.id == s.tour).map(|t| text(&t.title));
        json!({
            "code": s.code.to_string(), "tour": s.tour, "title": title, "people": s.people, "capacity": s.capacity,
            "guide": s.guide, "guide_simulated": s.guide_simulated,
            "join_url": join_url(&http.origin, s.code), "qr_svg": qr_svg(&join_url(&http.origin, s.code)),
        })
    };
    Ok(Json(all.iter().map(session).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    tour: String,
}

async fn create(State(http): Shared, Json(create): Json<Create>) -> Result<Json<Value>, Failure> {
    let granted = ask(&http, |answer| Ask::Create {
        tour: create.tour,
        answer,
    })
    .await?;
    granted_json(&http, granted)
}

async fn grant(State(http): Shared, Path(code): Path<String>) -> Result<Json<Value>, Failure> {
    let code: SessionCode = code
        .parse()
        .map_err(|e| Failure(StatusCode::BAD_REQUEST, format!("{e}")))?;
    let granted = ask(&http, |answer| Ask::Grant { code, answer }).await?;
    granted_json(&http, granted)
}

fn granted_json(http: &Http, granted: Result<Granted, tongyou_session::Error>) -> Result<Json<Value>, Failure> {
    let Granted { code, grant } = granted.map_err(|e| Failure(StatusCode::NOT_FOUND, e.to_string()))?;
    let url = join_url(&http.origin, code);
    Ok(Json(
        json!({ "code": code.to_string(), "grant": grant, "qr_svg": qr_svg(&url), "join_url": url }),
    ))
}

/// Asks the tick thread.
async fn ask<T>(http: &Http, question: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Failure> {
    let gone = || {
        Failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "The server is shutting down.".to_owned(),
        )
    };
    let (answer, answered) = oneshot::channel();
    http.mailbox
        .send(Event::Ask(question(answer)))
        .await
        .map_err(|_| gone())?;
    answered.await.map_err(|_| gone())
}

/// The address that the QR code carries. The code is in the fragment, so no log ever holds it.
pub(crate) fn join_url(origin: &str, code: SessionCode) -> String {
    format!("{origin}/#{code}")
}

fn qr_svg(url: &str) -> String {
    qrcode::QrCode::new(url).map_or_else(
        |_| String::new(),
        |qr| {
            qr.render::<qrcode::render::svg::Color<'_>>()
                .min_dimensions(240, 240)
                .build()
        },
    )
}

fn text(t: &Text) -> Value {
    json!({ "zh": t.zh, "en": t.en })
}

/// `https://host:port` for an address.
pub(crate) fn origin(host: &str, addr: SocketAddr) -> String {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    if addr.port() == 443 {
        format!("https://{host}")
    } else {
        format!("https://{host}:{}", addr.port())
    }
}
