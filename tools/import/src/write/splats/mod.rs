//! Gaussian splats out: placed in the scene, coarser levels, `KHR_gaussian_splatting`.

mod gltf;
mod harmonics;
mod merge;

use glam::{DMat3, DVec3, Quat, Vec3};
pub use gltf::glb;
use harmonics::Turn;

use crate::Splat;
use crate::georef::Local;

/// A coarser level has at most this share of the splats of the one before.
const SHARE: f64 = 0.4;
const MOST_LEVELS: usize = 4;
/// Fewer splats than this need no coarser level.
const FEWEST: usize = 4000;
/// Bits of a place along each axis.
const BITS: u32 = 20;

/// A level of splats.
#[derive(Debug, Clone)]
pub struct Level {
    /// Its splats, in the order of a space-filling curve.
    pub splats: Vec<Splat>,
    /// How far the centre of a splat of the finest level lies from the one that stands for it, at most.
    pub error_m: f32,
    /// Root of the mean square of these distances.
    pub rms_m: f32,
}

/// Splats in the axes of a scene (x east, y up, z south, metres): positions, sizes, rotations and harmonics. Those
/// without a place, or at one that `keep` refuses (metres east, north, up), are left out.
pub(crate) fn placed(splats: &[Splat], local: &Local, keep: impl Fn(DVec3) -> bool) -> Vec<Splat> {
    let scene_from_enu = DMat3::from_cols(DVec3::X, DVec3::NEG_Z, DVec3::Y);
    let linear = scene_from_enu * local.linear();
    let size = linear.determinant().abs().cbrt();
    let turn = linear * (1.0 / size);
    let harmonics = Turn::new(turn);
    // An ellipsoid is the same when seen through its centre, so what mirrors is made a rotation.
    let rotation = if turn.determinant() < 0.0 { turn * -1.0 } else { turn };
    let rotation = glam::DQuat::from_mat3(&rotation).as_quat();
    let one = |s: &Splat| {
        let position = local.place(s.position.as_dvec3()).filter(|&p| keep(p))?;
        #[expect(clippy::cast_possible_truncation, reason = "a factor between units")]
        let scale = s.scale * size as f32;
        Some(Splat {
            position: crate::import::to_scene(position),
            scale,
            rotation: (rotation * s.rotation).normalize(),
            opacity: s.opacity.clamp(0.0, 1.0),
            color: s.color,
            harmonics: harmonics.apply(&s.harmonics),
        })
    };
    splats
        .iter()
        .filter_map(one)
        .filter(|s| s.position.is_finite() && s.scale.is_finite() && s.rotation.is_finite())
        .collect()
}

/// The finest level in the order of a space-filling curve, then coarser ones, each merged from the finest.
#[must_use]
pub fn levels(splats: Vec<Splat>) -> Vec<Level> {
    let Some((low, side)) = cube(&splats) else {
        return Vec::new();
    };
    let mut keyed: Vec<(u64, Splat)> = splats.into_iter().map(|s| (key(s.position, low, side), s)).collect();
    // Equal keys keep the order of the file.
    keyed.sort_by_key(|(key, _)| *key);
    let finest = Level {
        splats: keyed.iter().map(|(_, s)| s.clone()).collect(),
        error_m: 0.0,
        rms_m: 0.0,
    };
    let mut out = vec![finest];
    let mut dropped = 0;
    while out.len() < MOST_LEVELS && out.last().is_some_and(|l| l.splats.len() >= FEWEST) {
        let before = out.last().map_or(0, |l| l.splats.len()) as f64;
        let fits = |&d: &u32| groups(&keyed, d, side).count() as f64 <= before * SHARE;
        let Some(next) = (dropped + 1..=3 * BITS).find(fits) else {
            break;
        };
        dropped = next;
        out.push(merged(&keyed, dropped, side));
    }
    out
}

/// The low corner and the side of a cube around all centres.
fn cube(splats: &[Splat]) -> Option<(Vec3, f32)> {
    let first = splats.first()?.position;
    let (low, high) = splats
        .iter()
        .fold((first, first), |(l, h), s| (l.min(s.position), h.max(s.position)));
    Some((low, (high - low).max_element().max(f32::MIN_POSITIVE)))
}

/// A place along Morton's curve.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to as many bits"
)]
fn key(position: Vec3, low: Vec3, side: f32) -> u64 {
    let most = (1_u32 << BITS) - 1;
    let cell = |v: f32| ((f64::from(v) * f64::from(most)) as u32).min(most);
    let unit = (position - low) / side;
    let axes = [cell(unit.x), cell(unit.y), cell(unit.z)];
    (0..BITS).rev().fold(0, |key, bit| {
        axes.iter().fold(key, |key, axis| key << 1 | u64::from(axis >> bit & 1))
    })
}

/// Splats whose places differ in the last `dropped` bits of their keys only, and each that is larger than such a box
/// alone.
fn groups(keyed: &[(u64, Splat)], dropped: u32, side: f32) -> impl Iterator<Item = Vec<&Splat>> {
    #[expect(clippy::cast_possible_truncation, reason = "a side of a box in the scene")]
    let cell = (f64::from(side) * 2_f64.powf(f64::from(dropped) / 3.0 - f64::from(BITS))) as f32;
    let cells = keyed.chunk_by(move |a, b| a.0.checked_shr(dropped) == b.0.checked_shr(dropped));
    cells.flat_map(move |members| {
        let is_large = |s: &Splat| s.scale.max_element() > cell;
        let together: Vec<&Splat> = members.iter().map(|m| &m.1).filter(|s| !is_large(s)).collect();
        let alone = members.iter().map(|m| &m.1).filter(|s| is_large(s)).map(|s| vec![s]);
        let together = (!together.is_empty()).then_some(together);
        together.into_iter().chain(alone).collect::<Vec<_>>()
    })
}

fn merged(keyed: &[(u64, Splat)], dropped: u32, side: f32) -> Level {
    let mut out = Level {
        splats: Vec::new(),
        error_m: 0.0,
        rms_m: 0.0,
    };
    let (mut squares, mut count) = (0.0, 0.0);
    for group in groups(keyed, dropped, side) {
        let one = if let [only] = group[..] {
            only.clone()
        } else {
            merge::merge(&group)
        };
        for member in &group {
            let apart = member.position.distance(one.position);
            out.error_m = out.error_m.max(apart);
            squares += f64::from(apart) * f64::from(apart);
            count += 1.0;
        }
        out.splats.push(one);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a distance in a scene")]
    let rms = (squares / f64::max(count, 1.0)).sqrt() as f32;
    out.rms_m = rms;
    out
}

/// Rotations are unit quaternions; `w` of them is not negative, so that equal ones look equal.
fn upright(rotation: Quat) -> Quat {
    if rotation.w < 0.0 { -rotation } else { rotation }
}

#[cfg(test)]
mod tests;
