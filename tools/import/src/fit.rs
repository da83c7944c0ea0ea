//! What a headset can afford: triangles, texture memory, overdraw; and a scene made to fit.

use std::fmt;

use glam::{Mat3, Vec3};
use image::imageops::{self, FilterType};
use serde::{Deserialize, Serialize};
use tongyou_scene::{Alpha, Scene};

use crate::{measure, simplify};

/// Pixels a side of a view in which overdraw is counted.
const SIDE: u32 = 160;
/// Half the sides of a view at a distance of one: the tangent of 35 degrees, turned round.
const FOCAL: f32 = 1.428;
/// Views around a scene.
const VIEWS: u32 = 12;
/// Textures are not made smaller than this.
const SMALLEST: u32 = 64;
/// Tries at a coarser level.
const TRIES: usize = 6;

/// A device that shows a scene by itself, which is what the figures are for: near models, and what a visitor takes home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// Meta Quest 3.
    Quest3,
    /// Pico 4.
    Pico4,
    /// A computer with a graphics card of its own.
    Pc,
}

/// What a device can afford of one scene.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Budget {
    /// Triangles.
    pub triangles: usize,
    /// Bytes of textures in the device's own packed format, mipmaps included.
    pub texture_bytes: u64,
    /// Surfaces drawn over a covered pixel, on average over a view.
    pub overdraw: f32,
}

impl Device {
    /// Its budget; the README says why.
    #[must_use]
    pub fn budget(self) -> Budget {
        let of = |triangles, mebibytes: u64, overdraw| Budget {
            triangles,
            texture_bytes: mebibytes << 20,
            overdraw,
        };
        match self {
            Self::Quest3 => of(600_000, 256, 2.5),
            Self::Pico4 => of(300_000, 160, 2.0),
            Self::Pc => of(5_000_000, 2048, 6.0),
        }
    }
}

/// How a scene fits a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// For which device.
    pub device: Device,
    /// What it can afford.
    pub budget: Budget,
    /// Triangles of the scene as it is written.
    pub triangles: usize,
    /// Bytes of its textures on the device.
    pub texture_bytes: u64,
    /// The worst of the views.
    pub overdraw: f32,
    /// How far the surface moved at most, to fit.
    pub error_m: f32,
    /// How often textures were halved.
    pub halved: u32,
}

impl Fit {
    /// What is too much, and by how much; none where the scene fits.
    #[must_use]
    pub fn misses(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.triangles > self.budget.triangles {
            out.push(format!("{} triangles too many", self.triangles - self.budget.triangles));
        }
        if self.texture_bytes > self.budget.texture_bytes {
            let over = (self.texture_bytes - self.budget.texture_bytes) >> 20;
            out.push(format!("{over} MiB of textures too much"));
        }
        if self.overdraw > self.budget.overdraw {
            out.push(format!(
                "{:.1} surfaces over a pixel, {:.1} too many: split it, or crop what is hidden",
                self.overdraw,
                self.overdraw - self.budget.overdraw
            ));
        }
        out
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "budget    {:?}: {} of {} triangles, {} of {} MiB of textures, {:.1} of {:.1} surfaces over a pixel",
            self.device,
            self.triangles,
            self.budget.triangles,
            self.texture_bytes.div_ceil(1 << 20),
            self.budget.texture_bytes >> 20,
            self.overdraw,
            self.budget.overdraw
        )?;
        if self.error_m > 0.0 || self.halved > 0 {
            write!(
                f,
                "; surface moved by at most {:.4} m, textures halved {} times",
                self.error_m, self.halved
            )?;
        }
        match self.misses().as_slice() {
            [] => write!(f, "; fits"),
            misses => write!(f, "\nbudget    MISSED by {}", misses.join("; ")),
        }
    }
}

/// Makes a scene fit a device, by a coarser level and smaller textures, as far as that goes.
#[must_use]
pub fn fit(mut scene: Scene, device: Device) -> (Scene, Fit) {
    let budget = device.budget();
    let mut error_m = 0.0;
    let all = simplify::triangles(&scene);
    if all > budget.triangles {
        let coarse = within(&scene, all, budget.triangles);
        if let Some(coarse) = coarse {
            error_m = measure::distance(&scene, &coarse).max_m;
            scene = coarse;
        }
    }
    let mut halved = 0;
    while texture_bytes(&scene) > budget.texture_bytes && halve(&mut scene) {
        halved += 1;
    }
    let fit = Fit {
        device,
        budget,
        triangles: simplify::triangles(&scene),
        texture_bytes: texture_bytes(&scene),
        overdraw: overdraw(&scene),
        error_m,
        halved,
    };
    (scene, fit)
}

/// The finest level found with at most so many triangles, or the coarsest tried.
fn within(scene: &Scene, all: usize, most: usize) -> Option<Scene> {
    let mut share = most as f64 / all as f64 * 0.98;
    let mut best = None;
    for _ in 0..TRIES {
        #[expect(clippy::cast_possible_truncation, reason = "a share")]
        let coarse = simplify::coarser(scene, share as f32);
        let triangles = simplify::triangles(&coarse);
        if triangles == 0 || triangles >= all {
            break;
        }
        best = Some(coarse);
        if triangles <= most {
            break;
        }
        share *= most as f64 / triangles as f64 * 0.9;
    }
    best
}

/// Bytes of all textures in use once a device has unpacked them: ETC1S to ETC2 of half a byte a pixel, or of one with
/// alpha; UASTC to ASTC of one; a third more for mipmaps.
#[must_use]
pub fn texture_bytes(scene: &Scene) -> u64 {
    let mut halves = vec![0_u64; scene.images.len()];
    for material in &scene.materials {
        let alpha = if material.alpha == Alpha::Opaque { 1 } else { 2 };
        let uses = [
            (material.base_color_texture, alpha),
            (material.metallic_roughness_texture, 1),
            (material.emissive_texture, 1),
            (material.normal_texture, 2),
        ];
        for (image, each) in uses {
            if let Some(slot) = image.and_then(|i| halves.get_mut(i)) {
                *slot = each.max(*slot);
            }
        }
    }
    let one =
        |(image, half): (&tongyou_scene::Image, &u64)| u64::from(image.width) * u64::from(image.height) * half / 2;
    scene.images.iter().zip(&halves).map(one).sum::<u64>() * 4 / 3
}

/// Halves the largest images; false where none is left to be halved.
fn halve(scene: &mut Scene) -> bool {
    let size = |i: &tongyou_scene::Image| u64::from(i.width) * u64::from(i.height);
    let largest = scene.images.iter().map(size).max().unwrap_or(0);
    let mut any = false;
    for image in &mut scene.images {
        let (width, height) = (image.width / 2, image.height / 2);
        if size(image) * 2 > largest && width.min(height) >= SMALLEST {
            let pixels = std::mem::take(&mut image.pixels);
            let buffer = image::RgbaImage::from_raw(image.width, image.height, pixels).unwrap_or_default();
            image.pixels = imageops::resize(&buffer, width, height, FilterType::Triangle).into_raw();
            (image.width, image.height) = (width, height);
            any = true;
        }
    }
    any
}

/// Surfaces drawn over a covered pixel, on average over the worst of twelve views from around and a little above: what is
/// turned away is not drawn, nothing hides anything, as on a device that draws in any order.
#[must_use]
pub fn overdraw(scene: &Scene) -> f32 {
    let world = scene.world_from_nodes(0.0);
    let mut triangles: Vec<([Vec3; 3], bool)> = Vec::new();
    for (node, world) in scene.nodes.iter().zip(&world) {
        let Some(mesh) = node.mesh.and_then(|m| scene.meshes.get(m)) else {
            continue;
        };
        for primitive in &mesh.primitives {
            let material = primitive.material.and_then(|m| scene.materials.get(m));
            let both = material.is_some_and(|m| m.double_sided);
            let place = |i: &u32| world.transform_point3(primitive.positions[*i as usize]);
            let each = primitive.indices.as_chunks::<3>().0.iter();
            triangles.extend(each.map(|t| (t.each_ref().map(place), both)));
        }
    }
    let start = (Vec3::INFINITY, Vec3::NEG_INFINITY);
    let corners = triangles.iter().flat_map(|(t, _)| t);
    let (low, high) = corners.fold(start, |(a, b), p| (a.min(*p), b.max(*p)));
    if !(low.is_finite() && high.is_finite()) {
        return 0.0;
    }
    let (middle, radius) = ((low + high) / 2.0, (high - low).length().max(1e-3) / 2.0);
    let view = |index: u32| {
        #[expect(clippy::cast_precision_loss, reason = "a dozen")]
        let turn = index as f32 / VIEWS as f32 * std::f32::consts::TAU;
        let eye = middle + Vec3::new(turn.cos(), 0.25, turn.sin()) * radius * 1.8;
        let ahead = (middle - eye).normalize();
        let right = ahead.cross(Vec3::Y).normalize();
        // Right, up and ahead of the eye; a view of 70 degrees.
        let view_from_world = Mat3::from_cols(right, right.cross(ahead), ahead).transpose();
        count(&triangles, |p| {
            view_from_world * (p - eye) * Vec3::new(FOCAL, FOCAL, 1.0)
        })
    };
    let views: Vec<(usize, u64)> = (0..VIEWS).map(view).collect();
    // A wall seen along itself covers little, however often.
    let widest = views.iter().map(|&(covered, _)| covered).max().unwrap_or(0);
    let broad = views
        .iter()
        .filter(|(covered, _)| *covered > 0 && covered * 3 >= widest);
    #[expect(clippy::cast_precision_loss, reason = "pixels of a small picture")]
    let each = broad.map(|&(covered, all)| all as f32 / covered as f32);
    each.fold(0.0, f32::max)
}

/// Draws all triangles over each other: pixels that are covered, and how often all are.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "pixels of a small picture"
)]
fn count(triangles: &[([Vec3; 3], bool)], see: impl Fn(Vec3) -> Vec3) -> (usize, u64) {
    let mut drawn = vec![0_u32; (SIDE * SIDE) as usize];
    let half = SIDE as f32 / 2.0;
    for (corners, both) in triangles {
        let seen = corners.map(&see);
        // Scenes are seen from outside: what crosses the eye's plane is rare and left out.
        if seen.iter().any(|p| p.z <= 1e-6) {
            continue;
        }
        let [a, b, c] = seen.map(|p| p.truncate() / p.z * half + half);
        let area = (b - a).perp_dot(c - a);
        if area == 0.0 || (area < 0.0 && !both) {
            continue;
        }
        let low = a.min(b).min(c).floor().max(glam::Vec2::ZERO);
        let high = a.max(b).max(c).ceil().min(glam::Vec2::splat(SIDE as f32));
        for y in low.y as u32..high.y.max(0.0) as u32 {
            for x in low.x as u32..high.x.max(0.0) as u32 {
                let p = glam::Vec2::new(x as f32 + 0.5, y as f32 + 0.5);
                let inside = [(a, b), (b, c), (c, a)]
                    .iter()
                    .all(|(from, to)| (*to - *from).perp_dot(p - *from) * area.signum() >= 0.0);
                drawn[(y * SIDE + x) as usize] += u32::from(inside);
            }
        }
    }
    let covered = drawn.iter().filter(|&&n| n > 0).count();
    let all: u64 = drawn.iter().map(|&n| u64::from(n)).sum();
    (covered, all)
}

#[cfg(test)]
mod tests {
    use glam::Vec2;
    use tongyou_scene::{Image, Material, Primitive};

    use super::*;

    /// Sheets of `side` by `side` squares, one behind the other, seen from both sides.
    fn sheets(count: u16, side: u16) -> Scene {
        let mut scene = Scene::default();
        scene.materials.push(Material {
            double_sided: true,
            base_color_texture: None,
            ..crate::surface::ground::material()
        });
        for sheet in 0..count {
            let mut p = Primitive {
                material: Some(0),
                ..Primitive::default()
            };
            for i in 0..=side {
                for j in 0..=side {
                    let at = Vec2::new(f32::from(i), f32::from(j)) / f32::from(side) * 10.0;
                    p.positions.push(Vec3::new(at.x, at.y, f32::from(sheet) * 0.01));
                    p.normals.push(Vec3::Z);
                    p.tex_coords.push(at);
                }
            }
            let wide = u32::from(side) + 1;
            for i in 0..u32::from(side) {
                for j in 0..u32::from(side) {
                    let at = i * wide + j;
                    p.indices
                        .extend([at, at + wide, at + 1, at + 1, at + wide, at + wide + 1]);
                }
            }
            crate::import::add(&mut scene, format!("{sheet}"), p);
        }
        scene
    }

    #[test]
    fn sheets_behind_each_other_are_counted() {
        for count in [1_u16, 3, 5] {
            let got = overdraw(&sheets(count, 4));
            assert!(
                (got - f32::from(count)).abs() < 0.15 * f32::from(count),
                "{count}: {got}"
            );
        }
        assert_eq!(overdraw(&Scene::default()), 0.0);
        // Turned away and seen from one side only: half of the views see nothing.
        let mut one = sheets(1, 4);
        one.materials[0].double_sided = false;
        assert!((overdraw(&one) - 1.0).abs() < 0.1);
    }

    #[test]
    fn too_many_triangles_become_fewer() {
        let (scene, fit) = fit(sheets(1, 420), Device::Pico4);
        assert!(fit.triangles <= 300_000 && fit.triangles > 100, "{fit}");
        assert_eq!(simplify::triangles(&scene), fit.triangles);
        // The sheet is flat, so nothing moved.
        assert!(fit.error_m < 1e-3 && fit.misses().is_empty(), "{fit}");
    }

    #[test]
    fn textures_are_halved_until_they_fit() {
        let mut scene = sheets(1, 2);
        let image = |side: u32| Image {
            name: String::new(),
            width: side,
            height: side,
            pixels: vec![128; (side * side * 4) as usize],
        };
        scene.images = vec![image(2048), image(64)];
        scene.materials[0].base_color_texture = Some(0);
        scene.materials[0].emissive_texture = Some(1);
        // Half a byte a pixel and a third more.
        assert_eq!(texture_bytes(&scene), (2048 * 2048 + 64 * 64) / 2 * 4 / 3);
        assert!(halve(&mut scene));
        assert_eq!((scene.images[0].width, scene.images[1].width), (1024, 64));
        assert_eq!(scene.images[0].pixels.len(), 1024 * 1024 * 4);
        while halve(&mut scene) {}
        assert_eq!(scene.images[0].width, SMALLEST);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let (_, fit) = fit(sheets(9, 3), Device::Quest3);
        let text = fit.to_string();
        assert!(
            text.contains("MISSED") && text.contains("too many") && fit.misses().len() == 1,
            "{text}"
        );
    }
}
