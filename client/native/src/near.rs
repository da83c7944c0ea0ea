//! Local models of stops: fetched once each from the server's HTTPS address, checked, and read.

mod https;

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tongyou_protocol::control::LocalModel;
use tongyou_scene::{Limits, Scene};
use tongyou_transport::{Kind, Link};

/// The SHA-256 of a file, which is its name.
pub type Key = [u8; 32];

/// Files larger than this are not what a stop's near things are.
const MOST_BYTES: u64 = 64 << 20;
/// As many as a server lets a stop have.
const MOST_TRIANGLES: usize = 100_000;
/// A fetch may take so long altogether.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a model is not there. The tour goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the server said about it makes no sense.
    #[error("the server names no model that could be fetched: {0}")]
    Named(&'static str),
    /// It is too large.
    #[error("{bytes} bytes are too many, at most {MOST_BYTES} are taken")]
    TooLarge {
        /// Of the file.
        bytes: u64,
    },
    /// The network.
    #[error("fetching it: {0}")]
    Io(#[from] std::io::Error),
    /// The server's answer is not the file.
    #[error("the server answered {0}")]
    Answer(String),
    /// Not in time.
    #[error("it did not come within {} s", PATIENCE.as_secs())]
    Late,
    /// Something else came.
    #[error("what came is not what the server said: its SHA-256 is another one")]
    Hash,
    /// It can not be read.
    #[error(transparent)]
    Scene(#[from] tongyou_scene::Error),
    /// It is too much to draw.
    #[error("{0} triangles are too many, at most {MOST_TRIANGLES} are drawn")]
    Triangles(usize),
}

/// The models of a tour, as they are wanted.
pub struct Near {
    state: Mutex<State>,
    /// Something has come, or will not.
    settled: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    server: Option<SocketAddr>,
    coming: BTreeSet<Key>,
    there: BTreeMap<Key, Arc<Scene>>,
}

impl Near {
    /// Nothing yet. `settled` is called whenever a model has come or failed, on a thread of the runtime.
    #[must_use]
    pub fn new(settled: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            settled: Box::new(settled),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic elsewhere left is as good as anything.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link stands: its server has the files, HTTPS on the port of QUIC.
    pub fn on_link(&self, link: &dyn Link) {
        let info = link.info();
        self.state().server = (info.kind != Kind::Simulated).then_some(info.peer);
    }

    /// Fetches what is not there and not coming. What failed before is tried again. Within a runtime of tokio.
    pub fn want(self: &Arc<Self>, models: &[LocalModel]) {
        for model in models {
            let Ok(key) = Key::try_from(&model.sha256[..]) else {
                tracing::warn!(path = model.url_path, "a local model without a SHA-256 is left out");
                continue;
            };
            let server = {
                let mut state = self.state();
                let Some(server) = state.server else { return };
                if state.there.contains_key(&key) || !state.coming.insert(key) {
                    continue;
                }
                server
            };
            let (near, model) = (Arc::clone(self), model.clone());
            tokio::spawn(async move {
                let fetched = fetch(server, &model).await;
                let mut state = near.state();
                state.coming.remove(&key);
                match fetched {
                    Ok(scene) => {
                        tracing::info!(path = model.url_path, bytes = model.bytes, "a local model is here");
                        state.there.insert(key, Arc::new(scene));
                    }
                    Err(error) => tracing::warn!(path = model.url_path, %error, "without a local model"),
                }
                drop(state);
                (near.settled)();
            });
        }
    }

    /// Whether none of these is still to come.
    #[must_use]
    pub fn is_settled(&self, models: &[LocalModel]) -> bool {
        let state = self.state();
        keys(models).all(|key| !state.coming.contains(&key))
    }

    /// Those of these that are there.
    #[must_use]
    pub fn there(&self, models: &[LocalModel]) -> Vec<(Key, Arc<Scene>)> {
        let state = self.state();
        keys(models)
            .filter_map(|key| Some((key, Arc::clone(state.there.get(&key)?))))
            .collect()
    }
}

impl std::fmt::Debug for Near {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("Near")
            .field("server", &state.server)
            .field("coming", &state.coming.len())
            .field("there", &state.there.len())
            .finish_non_exhaustive()
    }
}

fn keys(models: &[LocalModel]) -> impl Iterator<Item = Key> {
    models.iter().filter_map(|m| Key::try_from(&m.sha256[..]).ok())
}

/// Fetches one model, checks that it is what the server said over its link, and reads it.
///
/// # Errors
/// Any [`Error`].
pub async fn fetch(server: SocketAddr, model: &LocalModel) -> Result<Scene, Error> {
    if model.bytes > MOST_BYTES {
        return Err(Error::TooLarge { bytes: model.bytes });
    }
    let file = tokio::time::timeout(PATIENCE, https::get(server, &model.url_path, model.bytes))
        .await
        .map_err(|_| Error::Late)??;
    let model = model.clone();
    let read = tokio::task::spawn_blocking(move || read(&file, &model)).await;
    read.unwrap_or_else(|e| Err(Error::Io(std::io::Error::other(e))))
}

fn read(file: &[u8], model: &LocalModel) -> Result<Scene, Error> {
    if Sha256::digest(file)[..] != model.sha256[..] {
        return Err(Error::Hash);
    }
    let limits = Limits {
        file_bytes: MOST_BYTES,
        nodes: 10_000,
        vertices: 1_000_000,
        triangles: MOST_TRIANGLES as u64,
        pixels: 32 << 20,
        lights: 100,
        keys: 1_000_000,
        ..Limits::default()
    };
    let scene = tongyou_scene::read_glb(file, &model.url_path, &limits)?;
    let of_mesh = |mesh: usize| -> usize { scene.meshes[mesh].primitives.iter().map(|p| p.indices.len() / 3).sum() };
    let drawn = scene.nodes.iter().filter_map(|n| n.mesh).map(of_mesh).sum();
    if drawn > MOST_TRIANGLES {
        return Err(Error::Triangles(drawn));
    }
    Ok(scene)
}
