//! Looks at the pictures: in how many faces of the cube something moves from set to set.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use glam::{Quat, Vec3};
use tokio::sync::watch;
use tongyou_client::core::{Config, Event, Headset, LocalJoint, LocalPose};
use tongyou_client::net::{self, Connect, Decode, End, Machine, Moment, Options, Picture, Wearer};
use tongyou_media::decode as media;
use tongyou_protocol::cube;

/// A change of luma by more than this is not the encoder's noise.
const DIFFERS: u8 = 16;
/// A face moves when so many of its pixels differ.
const PIXELS: usize = 200;
/// Sets that are compared.
const SETS: usize = 12;

/// Watches with a decoding headset until a dozen sets have been compared; returns the least number of faces that
/// differed from one set to the next.
///
/// # Errors
/// When pictures do not come or can not be decoded.
pub async fn least_moving(connect: Connect, code: String) -> Result<usize> {
    let (stop, stopped) = watch::channel(false);
    let eye = Arc::new(Mutex::new(Eye::default()));
    let options = Options {
        connect,
        headset: Config {
            simulated: true,
            ..Config::new(code, "Eye")
        },
        clock: Machine::default(),
        decode: Decode::All,
    };
    let mut looking = Looking(Arc::clone(&eye));
    let task = tokio::spawn(async move { net::run(options, &mut looking, stopped).await });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let lock = || eye.lock().unwrap_or_else(PoisonError::into_inner);
    while lock().compared.len() < SETS && lock().trouble.is_none() && !task.is_finished() {
        ensure!(tokio::time::Instant::now() < deadline, "no pictures in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.send_replace(true);
    match task.await? {
        Ok(End::Cancelled) => {}
        other => bail!("the headset left: {other:?}"),
    }
    if let Some(trouble) = lock().trouble.take() {
        bail!("{trouble}");
    }
    let least = lock().compared.iter().copied().min();
    least.context("no pictures were compared")
}

#[derive(Debug, Default)]
struct Eye {
    before: Option<Picture>,
    compared: Vec<usize>,
    trouble: Option<String>,
}

struct Looking(Arc<Mutex<Eye>>);

impl Wearer for Looking {
    fn pose(&mut self, _at: Moment, _headset: &mut Headset) -> Option<LocalPose> {
        let head = LocalJoint {
            position: Vec3::Y * 1.6,
            rotation: Quat::IDENTITY,
        };
        Some(LocalPose {
            head,
            left: None,
            right: None,
            pointer: None,
        })
    }

    fn on_event(&mut self, _at: Moment, event: &Event, _headset: &mut Headset) {
        if let Event::Malformed { lane, message } = event {
            let mut eye = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            eye.trouble = Some(format!("{lane}: {message}"));
        }
    }

    fn on_picture(&mut self, _at: Moment, picture: Picture) {
        let mut eye = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = eye.before.take() {
            let moving = moving_faces(&before.color, &picture.color);
            eye.compared.push(moving);
        }
        eye.before = Some(picture);
    }

    fn on_decode_error(&mut self, _at: Moment, message: &str) {
        let mut eye = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        eye.trouble = Some(message.to_owned());
    }
}

/// In how many faces of the base atlas two pictures differ.
pub(crate) fn moving_faces(before: &media::Picture, after: &media::Picture) -> usize {
    let (width, size) = (after.size.width(), cube::FACE_SIZE as usize);
    let mut differing = [0_usize; 6];
    let rows = size * cube::ATLAS_ROWS as usize;
    let pairs = before.nv12.iter().zip(&after.nv12).take(width * rows);
    for (i, (a, b)) in pairs.enumerate() {
        let (x, y) = (i % width, i / width);
        let face = y / size * cube::ATLAS_COLUMNS as usize + x / size;
        if face < 6 && a.abs_diff(*b) > DIFFERS {
            differing[face] += 1;
        }
    }
    differing.iter().filter(|n| **n >= PIXELS).count()
}
