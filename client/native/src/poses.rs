//! `--poses`: what each eye would see, written as files. The base of tests that compare the client's picture with the truth.

use crate::core::{Event, Headset, LocalJoint, LocalPose};
use crate::near::{Key, Near};
use crate::net::{self, Moment, Picture, Wearer};
use crate::present::{self, Adapter, Eye, Image, Locals, Offscreen, Set};
use glam::{Quat, Vec3};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tongyou_protocol::frame::Layer;
use tongyou_scene::Scene;
use tongyou_stream::receive::StreamId;
use tongyou_transport::Link;

/// Between the eyes, metres.
const IPD_M: f32 = 0.064;
const LARGEST: u32 = 8192;
/// Newest pictures that are kept: all layers of what is shown, and of what comes.
const MOST_PICTURES: usize = 12;
/// How long the first picture may take, and one of another stop or cell.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a head is held at a time. Unknown fields are refused.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pose {
    /// Seconds after the first picture could be shown; must not fall.
    pub t_s: f64,
    /// Of the middle between the eyes, metres from the rendered point, stop-local axes (x east, y up, z south).
    #[serde(default)]
    pub position: [f32; 3],
    /// Turns −Z ahead, Y up into stop-local axes: x, y, z, w.
    #[serde(default = "identity")]
    pub rotation: [f32; 4],
    /// Between the eyes, metres.
    #[serde(default = "ipd_m")]
    pub ipd_m: f32,
    /// Pixels of one eye's picture.
    #[serde(default = "side")]
    pub width: u32,
    /// Likewise.
    #[serde(default = "side")]
    pub height: u32,
    /// The whole angle of view from bottom to top, degrees.
    #[serde(default = "fov_y_deg")]
    pub fov_y_deg: f32,
}

/// What a pair of pictures shows; `pictures.json` has one for each pose.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Place in the list of poses.
    pub index: usize,
    /// File names.
    pub left: String,
    /// Likewise.
    pub right: String,
    /// The set.
    pub set: u32,
    /// The vantage.
    pub vantage: u16,
    /// Counts stop changes.
    pub epoch: u16,
    /// The rendered point, stop-local metres.
    pub point: [f32; 3],
    /// The instant shown, seconds of tour time.
    pub tour_time_s: f64,
    /// What the set is of: a panorama, or a view of the wearer's own.
    pub shape: String,
    /// Whether what lies behind near things was there.
    pub behind: bool,
    /// The faces that were shown sharp.
    pub sharp: Vec<u8>,
    /// Pixels that nothing covers: left, right.
    pub holes: [usize; 2],
    /// The pose as it was used.
    pub eyes: [EyeRecord; 2],
}

/// An eye as it was used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EyeRecord {
    /// Stop-local metres.
    pub position: [f32; 3],
    /// x, y, z, w.
    pub rotation: [f32; 4],
    /// Degrees.
    pub fov_y_deg: f32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Why no pictures are written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list of poses is wrong.
    #[error("{at}: {message}")]
    Poses {
        /// File and entry or line.
        at: String,
        /// What is wrong.
        message: String,
    },
    /// Reading or writing.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing to draw with, or it failed.
    #[error(transparent)]
    Present(#[from] present::Error),
    /// The tour can not be joined, or the connection was lost.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// No complete layer came in time.
    #[error("no complete layer came within {} s; pose {index} can not be shown", PATIENCE.as_secs())]
    NoLayer {
        /// The pose.
        index: usize,
    },
    /// The session ended first.
    #[error("the session ended before pose {index}: {words}")]
    Ended {
        /// The pose.
        index: usize,
        /// The server's words.
        words: String,
    },
}

/// Reads poses: a JSON array, or one JSON object a line.
///
/// # Errors
/// [`Error::Poses`] naming `name` and the entry that is wrong.
pub fn parse(name: &str, text: &str) -> Result<Vec<Pose>, Error> {
    let wrong = |at: String, message: String| Error::Poses { at, message };
    let poses: Vec<Pose> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|e| wrong(name.to_owned(), e.to_string()))?
    } else {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(n, line)| {
                serde_json::from_str(line).map_err(|e| wrong(format!("{name}, line {}", n + 1), e.to_string()))
            })
            .collect::<Result<_, _>>()?
    };
    let mut before = 0.0;
    for (index, pose) in poses.iter().enumerate() {
        pose.check(before)
            .map_err(|message| wrong(format!("{name}, pose {index}"), message))?;
        before = pose.t_s;
    }
    if poses.is_empty() {
        return Err(wrong(name.to_owned(), "no poses".to_owned()));
    }
    Ok(poses)
}

impl Pose {
    fn check(&self, before: f64) -> Result<(), String> {
        let finite = self.position.iter().chain(&self.rotation).all(|v| v.is_finite());
        if !finite || !self.t_s.is_finite() {
            return Err("a number is not finite".to_owned());
        }
        if self.t_s < before {
            return Err(format!("t_s {} comes after {before}", self.t_s));
        }
        let length = Quat::from_array(self.rotation).length();
        if (length - 1.0).abs() > 0.01 {
            return Err(format!("rotation {:?} has length {length}, not 1", self.rotation));
        }
        if !(1.0..=170.0).contains(&self.fov_y_deg) {
            return Err(format!("fov_y_deg {} is not within 1 to 170", self.fov_y_deg));
        }
        if !(0.0..=0.5).contains(&self.ipd_m) {
            return Err(format!("ipd_m {} is not within 0 to 0.5", self.ipd_m));
        }
        let sides = 1..=LARGEST;
        if !sides.contains(&self.width) || !sides.contains(&self.height) {
            return Err(format!("{} × {} pixels, not 1 to {LARGEST}", self.width, self.height));
        }
        Ok(())
    }

    /// Left and right eye over a rendered point.
    #[must_use]
    pub fn eyes(&self, point: Vec3) -> [Eye; 2] {
        #[expect(clippy::cast_precision_loss, reason = "at most 8192")]
        let aspect = self.width as f32 / self.height as f32;
        let head = Eye {
            position: point + Vec3::from_array(self.position),
            rotation: Quat::from_array(self.rotation).normalize(),
            fov_y: self.fov_y_deg.to_radians(),
            aspect,
        };
        head.pair(self.ipd_m)
    }

    /// What both eyes see of a layer.
    ///
    /// # Errors
    /// As [`Offscreen::look`].
    pub fn look(&self, offscreen: &mut Offscreen, point: Vec3) -> present::Result<[Image; 2]> {
        let [left, right] = self.eyes(point);
        Ok([
            offscreen.look(left, self.width, self.height)?,
            offscreen.look(right, self.width, self.height)?,
        ])
    }
}

/// Joins, and writes what both eyes see at each pose into `folder`: `0000-left.png`, `0000-right.png` and so on, and
/// `pictures.json`.
///
/// # Errors
/// When the tour can not be joined, no complete layer comes in time, or a file can not be written.
pub async fn capture(options: net::Options, poses: &[Pose], folder: &Path) -> Result<Vec<Record>, Error> {
    let file = |path: &Path, source| Error::File {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(|e| file(folder, e))?;
    let mut offscreen = Offscreen::new(Adapter::Best)?;
    tracing::info!(
        adapter = offscreen.gpu().name(),
        poses = poses.len(),
        "presenting off-screen"
    );
    let (newest, mut pictures) = watch::channel(None);
    let (hold, held) = watch::channel(Held::default());
    let (cancel, cancelled) = watch::channel(false);
    let options = net::Options {
        decode: net::Decode::All,
        ..options
    };
    let visit = tokio::spawn(async move {
        let mut wearer = Holding {
            newest,
            held,
            pictures: Vec::new(),
            near: Near::new(|| {}),
        };
        net::run(options, &mut wearer, cancelled).await
    });
    let mut visit = Some(visit);
    let result = async {
        let mut records = Vec::new();
        let mut models = BTreeMap::new();
        let mut begin = None;
        for (index, pose) in poses.iter().enumerate() {
            let _ = hold.send(Held::from(pose));
            if let Some(begin) = begin {
                tokio::time::sleep_until(begin + Duration::from_secs_f64(pose.t_s.min(1e6))).await;
            }
            let there = tokio::time::timeout(PATIENCE, pictures.wait_for(Option::is_some)).await;
            let shown: Option<Shown> = match there {
                Ok(Ok(shown)) => shown.clone(),
                Ok(Err(_)) => return Err(over(visit.take(), index).await),
                Err(_) => None,
            };
            let shown = shown.ok_or(Error::NoLayer { index })?;
            begin.get_or_insert_with(tokio::time::Instant::now);
            let locals = upload(&offscreen, &mut models, shown.near);
            records.push(write(&mut offscreen, (shown.layers, locals), index, pose, folder)?);
        }
        Ok(records)
    }
    .await;
    cancel.send_replace(true);
    if let Some(visit) = visit {
        // Good-bye is said; how it ends does not matter any more.
        let _ = tokio::time::timeout(Duration::from_secs(2), visit).await;
    }
    let records = result?;
    let path = folder.join("pictures.json");
    let json = serde_json::to_string_pretty(&records).map_err(|e| file(&path, e.into()))?;
    std::fs::write(&path, json).map_err(|e| file(&path, e))?;
    Ok(records)
}

type Visit = tokio::task::JoinHandle<Result<net::End, net::Error>>;

/// Why a visit is over.
async fn over(visit: Option<Visit>, index: usize) -> Error {
    let end = match visit {
        Some(visit) => visit.await,
        None => return Error::NoLayer { index },
    };
    match end {
        Ok(Err(error)) => error.into(),
        Ok(Ok(net::End::Ended(words))) => Error::Ended { index, words },
        Ok(Ok(net::End::Cancelled)) | Err(_) => Error::NoLayer { index },
    }
}

/// The models of a stop on the GPU, each once. One that can not be drawn is left out.
fn upload(
    offscreen: &Offscreen,
    models: &mut BTreeMap<Key, Arc<Locals>>,
    near: Vec<(Key, Arc<Scene>)>,
) -> Vec<Arc<Locals>> {
    let mut locals = Vec::new();
    for (key, scene) in near {
        if let Some(known) = models.get(&key) {
            locals.push(Arc::clone(known));
            continue;
        }
        match Locals::new(offscreen.gpu(), &scene).map(Arc::new) {
            Ok(made) => {
                models.insert(key, Arc::clone(&made));
                locals.push(made);
            }
            Err(error) => tracing::warn!(%error, "without a local model"),
        }
    }
    locals
}

fn write(
    offscreen: &mut Offscreen,
    (layers, locals): (Vec<Picture>, Vec<Arc<Locals>>),
    index: usize,
    pose: &Pose,
    folder: &Path,
) -> Result<Record, Error> {
    let before = offscreen.set(Layer::Base).map(|s| (s.tag().vantage, s.tag().epoch));
    if layers
        .iter()
        .any(|p| before.is_some_and(|b| b != (p.header.tag.vantage, p.header.tag.epoch)))
    {
        offscreen.clear();
    }
    for picture in layers {
        let layer = picture.header.layer;
        let is_new = offscreen
            .set(layer)
            .is_none_or(|s| s.tag().set != picture.header.tag.set);
        if is_new {
            offscreen.show_set(Set::from_picture(picture, offscreen.set(layer))?)?;
        }
    }
    let base = offscreen.set(Layer::Base).ok_or(Error::NoLayer { index })?;
    let (tag, shape) = (*base.tag(), base.form().shape);
    #[expect(clippy::cast_precision_loss, reason = "285 years of microseconds fit")]
    let tour_time_s = tag.tour_time.0 as f64 / 1e6;
    // At the instant of the picture, so that they fit it.
    offscreen.stand(locals, tour_time_s);
    let images = pose.look(offscreen, tag.point)?;
    let names = ["left", "right"].map(|side| format!("{index:04}-{side}.png"));
    for (name, image) in names.iter().zip(&images) {
        let path = folder.join(name);
        image.write_png(&path).map_err(|source| Error::File { path, source })?;
    }
    let [left, right] = names;
    Ok(Record {
        index,
        left,
        right,
        set: tag.set.0,
        vantage: tag.vantage.0,
        epoch: tag.epoch,
        point: tag.point.to_array(),
        tour_time_s,
        shape: format!("{shape:?}").to_lowercase(),
        behind: offscreen.layer().has_behind(),
        sharp: (0..)
            .zip(offscreen.layer().sharpness())
            .filter_map(|(face, part)| (part > 0.0).then_some(face))
            .collect(),
        holes: [images[0].holes(), images[1].holes()],
        eyes: pose.eyes(tag.point).map(|eye| EyeRecord {
            position: eye.position.to_array(),
            rotation: eye.rotation.to_array(),
            fov_y_deg: pose.fov_y_deg,
            width: pose.width,
            height: pose.height,
        }),
    })
}

/// How the head is held now, relative to the rendered point.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    position: Vec3,
    rotation: Quat,
}

impl From<&Pose> for Held {
    fn from(pose: &Pose) -> Self {
        Self {
            position: Vec3::from_array(pose.position),
            rotation: Quat::from_array(pose.rotation).normalize(),
        }
    }
}

/// What is to be shown.
#[derive(Clone)]
struct Shown {
    /// The newest pictures of all layers, the base among them.
    layers: Vec<Picture>,
    /// What stands near.
    near: Vec<(Key, Arc<Scene>)>,
}

/// Someone who holds the head as the poses say.
struct Holding {
    newest: watch::Sender<Option<Shown>>,
    held: watch::Receiver<Held>,
    /// The newest of each stream, the oldest first.
    pictures: Vec<(StreamId, Picture)>,
    near: Arc<Near>,
}

impl Holding {
    /// Pictures come before and after the change that brings them on show.
    fn follow(&self, headset: &Headset) {
        let (Some(shown), Some(stop)) = (headset.shown(), headset.stop()) else {
            return;
        };
        if !self.near.is_settled(&stop.local_models) {
            return;
        }
        let layers = || {
            let of_shown = self.pictures.iter().filter(|(stream, _)| stream.base() == shown);
            of_shown.map(|(_, picture)| picture)
        };
        let has_base = layers().any(|p| p.stream == shown);
        let ids = |p: &Picture| (p.stream, p.header.tag.set);
        self.newest.send_if_modified(|newest| {
            let before: Vec<_> = newest.iter().flat_map(|n| &n.layers).map(ids).collect();
            let changed = has_base && before != layers().map(ids).collect::<Vec<_>>();
            if changed {
                *newest = Some(Shown {
                    layers: layers().cloned().collect(),
                    near: self.near.there(&stop.local_models),
                });
            }
            changed
        });
    }
}

impl Wearer for Holding {
    fn pose(&mut self, _at: Moment, headset: &mut Headset) -> Option<LocalPose> {
        self.follow(headset);
        let held = *self.held.borrow();
        let placement = *headset.seat()?;
        let room_from_world = Quat::from_rotation_y(-placement.yaw);
        let height = headset.eye_height_m();
        let head = LocalJoint {
            position: Vec3::Y * height + room_from_world * held.position,
            rotation: room_from_world * held.rotation,
        };
        Some(LocalPose {
            head,
            left: None,
            right: None,
            pointer: None,
        })
    }

    fn on_event(&mut self, _at: Moment, event: &Event, headset: &mut Headset) {
        if let (Event::Welcome { .. } | Event::StopApplied(_), Some(stop)) = (event, headset.stop()) {
            self.near.want(&stop.local_models);
        }
        self.follow(headset);
    }

    fn on_link(&mut self, link: &Arc<dyn Link>) {
        self.near.on_link(link.as_ref());
    }

    fn on_picture(&mut self, _at: Moment, picture: Picture) {
        self.pictures.retain(|(stream, _)| *stream != picture.stream);
        self.pictures.push((picture.stream, picture));
        if self.pictures.len() > MOST_PICTURES {
            self.pictures.remove(0);
        }
    }

    fn on_decode_error(&mut self, _at: Moment, message: &str) {
        tracing::error!(message, "decoding");
    }
}

const fn identity() -> [f32; 4] {
    [0.0, 0.0, 0.0, 1.0]
}

const fn ipd_m() -> f32 {
    IPD_M
}

const fn side() -> u32 {
    1024
}

const fn fov_y_deg() -> f32 {
    90.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_and_lines_are_read() {
        let array = r#"[{"t_s": 0}, {"t_s": 1.5, "position": [0.1, 0, -0.2], "rotation": [0, 1, 0, 0], "width": 64}]"#;
        let lines =
            "{\"t_s\": 0}\n\n{\"t_s\": 1.5, \"position\": [0.1, 0, -0.2], \"rotation\": [0, 1, 0, 0], \"width\": 64}\n";
        let poses = parse("p.json", array).unwrap();
        assert_eq!(parse("p.jsonl", lines).unwrap(), poses);
        assert_eq!(
            (poses[0].ipd_m, poses[0].height, poses[0].fov_y_deg),
            (0.064, 1024, 90.0)
        );
        let [left, right] = poses[1].eyes(Vec3::ZERO);
        assert!(left.position.x > right.position.x, "turned about, left is east");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("", "p: no poses"),
            ("{\"t_s\": 0}\n{\"t\": 1}", "p, line 2: unknown field `t`"),
            ("[{\"t_s\": 2}, {\"t_s\": 1}]", "p, pose 1: t_s 1 comes after 2"),
            ("{\"t_s\": 0, \"rotation\": [0, 0, 0, 0]}", "has length 0"),
            ("{\"t_s\": 0, \"fov_y_deg\": 180}", "fov_y_deg 180"),
            ("{\"t_s\": 0, \"width\": 0}", "0 × 1024 pixels"),
            ("{\"t_s\": 0, \"ipd_m\": -1}", "ipd_m -1"),
            ("{\"t_s\": -1}", "t_s -1"),
        ] {
            let error = parse("p", text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
