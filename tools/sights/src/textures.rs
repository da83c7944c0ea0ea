//! Textures made by code: paving, stone, façades with lit windows, leaves, a screen.

use tongyou_scene::Image;

use crate::lettering::{Patch, WELCOME};
use crate::noise::{fractal, hash, noise};

/// An image from a function of (u, v) in 0..1 from the top left that gives sRGB and alpha in 0..1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=255"
)]
fn paint(name: &str, width: u32, height: u32, at: impl Fn(f32, f32) -> [f32; 4]) -> Image {
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 4);
    for y in 0..height {
        for x in 0..width {
            let color = at((x as f32 + 0.5) / width as f32, (y as f32 + 0.5) / height as f32);
            pixels.extend(color.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8));
        }
    }
    Image {
        name: name.to_owned(),
        width,
        height,
        pixels,
    }
}

fn grey(v: f32) -> [f32; 4] {
    [v, v, v, 1.0]
}

fn mix(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

/// Normal map from heights in metres over a tile of `size_m` metres.
fn normals(name: &str, side: u32, size_m: f32, height: impl Fn(f32, f32) -> f32) -> Image {
    let step = 1.0 / side as f32;
    paint(name, side, side, |u, v| {
        let wrap = |t: f32| t.rem_euclid(1.0);
        let slope = |a: f32, b: f32| (a - b) / (2.0 * step * size_m);
        let x = slope(height(wrap(u - step), v), height(wrap(u + step), v));
        let y = slope(height(u, wrap(v + step)), height(u, wrap(v - step)));
        let n = glam::Vec3::new(x, y, 1.0).normalize() * 0.5 + 0.5;
        [n.x, n.y, n.z, 1.0]
    })
}

/// Slabs of granite in running bond on a tile of 4 m: 1 m × 0.5 m each.
struct Slab {
    /// Which slab.
    id: (i32, i32),
    /// Distance to the next joint in metres.
    edge: f32,
}

pub(crate) const PAVING_M: f32 = 4.0;

#[expect(clippy::cast_possible_truncation, reason = "a handful of slabs")]
fn slab(u: f32, v: f32) -> Slab {
    let (x, y) = (u * PAVING_M, v * PAVING_M);
    let row = (y / 0.5).floor();
    let x = (x + if row as i32 % 2 == 0 { 0.0 } else { 0.5 }).rem_euclid(PAVING_M);
    let (column, fx, fy) = (x.floor(), x.fract(), y / 0.5 - row);
    let edge = (fx.min(1.0 - fx)).min(fy.min(1.0 - fy) * 0.5);
    Slab {
        id: (column as i32, row as i32),
        edge,
    }
}

/// Colour of the paving.
pub(crate) fn paving() -> Image {
    paint("paving", 1024, 1024, |u, v| {
        let s = slab(u, v);
        let tone = 0.61 + 0.11 * (hash(1, s.id.0, s.id.1) - 0.5);
        let warm = hash(2, s.id.0, s.id.1);
        let speckle = (hash(3, texel(u, 1024), texel(v, 1024)) - 0.5) * 0.10;
        let cloud = (fractal(4, u, v, 6, 4) - 0.5) * 0.12;
        let value = tone + speckle + cloud;
        let joint = smooth(0.004, 0.012, s.edge);
        let base = mix(
            [value * 0.98, value, value * 1.01],
            [value * 1.05, value * 0.99, value * 0.92],
            warm,
        );
        let [r, g, b] = mix([0.26, 0.25, 0.24], base, joint);
        [r, g, b, 1.0]
    })
}

/// Roughness of the paving in G: some slabs are polished by feet.
pub(crate) fn paving_roughness() -> Image {
    paint("paving-roughness", 512, 512, |u, v| {
        let s = slab(u, v);
        let worn = fractal(9, u, v, 3, 4);
        let value = 0.50 + 0.22 * hash(5, s.id.0, s.id.1) + 0.25 * (worn - 0.5);
        [1.0, if s.edge < 0.008 { 0.95 } else { value }, 0.0, 1.0]
    })
}

/// Bumps of the paving.
pub(crate) fn paving_normals() -> Image {
    normals("paving-normals", 512, PAVING_M, |u, v| {
        let s = slab(u, v);
        let tilt = (hash(6, s.id.0, s.id.1) - 0.5) * 0.003;
        smooth(0.0, 0.016, s.edge) * 0.006 + tilt + noise(7, u * 128.0, v * 128.0, 128) * 0.0012
    })
}

/// Cast stone with faint streaks; a tile of 3 m.
pub(crate) fn stone() -> Image {
    paint("stone", 512, 512, |u, v| {
        let cloud = fractal(21, u, v, 4, 5) - 0.5;
        let streak = noise(25, u * 40.0, v * 3.0, 40) - 0.5;
        let speckle = hash(22, texel(u, 512), texel(v, 512)) - 0.5;
        let block = (v * 4.0).fract();
        let joint = if block < 0.012 || (u * 2.0 + (v * 4.0).floor() * 0.5).fract() < 0.006 {
            0.86
        } else {
            1.0
        };
        let value = (0.86 + cloud * 0.13 + streak * 0.05 + speckle * 0.04) * joint;
        [value, value * 0.985, value * 0.95, 1.0]
    })
}

/// Reliefs of the plinth, abstract: figures as rounded lumps. Heights for a normal map, a tile of 2.4 m.
pub(crate) fn relief() -> Image {
    normals("relief", 512, 2.4, |u, v| {
        let mut height = 0.0_f32;
        for i in 0..14 {
            let (cx, cy) = (hash(31, i, 0), 0.25 + 0.5 * hash(32, i, 0));
            let (w, h) = (0.05 + 0.05 * hash(33, i, 0), 0.12 + 0.14 * hash(34, i, 0));
            let dx = ((u - cx + 0.5).rem_euclid(1.0) - 0.5) / w;
            let body = 1.0 - dx * dx - ((v - cy) / h).powi(2);
            let head = 1.0 - (dx * 1.9).powi(2) - ((v - cy + h * 1.05) / (w * 0.9)).powi(2);
            height = height.max(body.max(0.0).sqrt() * 0.07).max(head.max(0.0).sqrt() * 0.06);
        }
        let frame = (0.5 - (v - 0.5).abs()).min(0.06) / 0.06;
        height * smooth(0.2, 1.0, frame) + (1.0 - frame.min(1.0)) * 0.05 + fractal(35, u, v, 16, 3) * 0.012
    })
}

/// A façade: its colours and the light in its windows come from the same description.
#[derive(Clone, Copy)]
pub(crate) struct Facade {
    pub(crate) name: &'static str,
    pub(crate) seed: u32,
    /// Windows across and floors up in one tile.
    pub(crate) windows: (i32, i32),
    /// Half widths of the window in its cell, 0..0.5.
    pub(crate) glass: (f32, f32),
    pub(crate) wall: [f32; 3],
    pub(crate) pane: [f32; 3],
    /// Part of the windows that are lit in the evening.
    pub(crate) lit: f32,
    /// 0 = offices with cool light floor by floor, 1 = homes with warm light here and there.
    pub(crate) homely: f32,
}

impl Facade {
    /// Which window, and how deep inside its glass: below 0 is wall.
    #[expect(clippy::cast_possible_truncation, reason = "a handful of windows")]
    fn window(&self, u: f32, v: f32) -> ((i32, i32), f32, (f32, f32)) {
        let (x, y) = (u * self.windows.0 as f32, v * self.windows.1 as f32);
        let (fx, fy) = (x.fract() - 0.5, y.fract() - 0.5);
        let inside = (self.glass.0 - fx.abs()).min(self.glass.1 - fy.abs());
        ((x.floor() as i32, y.floor() as i32), inside, (fx, fy))
    }

    fn light(&self, id: (i32, i32)) -> f32 {
        let floor = hash(self.seed + 3, 0, id.1);
        let own = hash(self.seed + 4, id.0, id.1);
        let chance = if floor > 0.55 { self.lit * 1.7 } else { self.lit * 0.45 };
        let chance = chance + (self.lit - chance) * self.homely;
        if own < chance {
            0.45 + 0.55 * hash(self.seed + 5, id.0, id.1)
        } else {
            0.0
        }
    }

    /// Colour by day.
    pub(crate) fn color(&self, side: u32) -> Image {
        paint(self.name, side, side, |u, v| {
            let (id, inside, (fx, fy)) = self.window(u, v);
            let dirt = (fractal(self.seed, u, v, 8, 4) - 0.5) * 0.10;
            if inside < 0.0 {
                let ledge = if inside > -0.025 { 0.8 } else { 1.0 };
                let [r, g, b] = self.wall.map(|c| (c + dirt) * ledge);
                return [r, g, b, 1.0];
            }
            let sky = 0.72 + 0.5 * (0.5 - fy) * 0.5 + 0.25 * hash(self.seed + 1, id.0, id.1);
            let curtain = if fx.abs() > 0.22 && hash(self.seed + 2, id.0, id.1) < self.homely * 0.6 {
                0.35
            } else {
                0.0
            };
            let mullion = if fx.abs() < 0.015 || (fy + 0.16).abs() < 0.012 {
                0.55
            } else {
                1.0
            };
            let [r, g, b] = mix(self.pane.map(|c| c * sky), [0.75, 0.72, 0.66], curtain).map(|c| c * mullion);
            [r, g, b, 1.0]
        })
    }

    /// Light of the windows.
    pub(crate) fn glow(&self, side: u32) -> Image {
        let name = format!("{}-glow", self.name);
        paint(&name, side, side, |u, v| {
            let (id, inside, (fx, fy)) = self.window(u, v);
            let light = self.light(id);
            if inside < 0.0 || light == 0.0 {
                return [0.0, 0.0, 0.0, 1.0];
            }
            let mullion = if fx.abs() < 0.015 || (fy + 0.16).abs() < 0.012 {
                0.25
            } else {
                1.0
            };
            // Ceiling lamps make the upper part of a room brighter.
            let fall = 0.55 + 0.45 * (0.5 - fy) * (1.0 - 0.5 * fx.abs());
            let warm = hash(self.seed + 6, id.0, id.1) * 0.6 + self.homely * 0.4;
            let [r, g, b] = mix([0.82, 0.93, 1.0], [1.0, 0.72, 0.40], warm).map(|c| c * light * fall * mullion);
            [r, g, b, 1.0]
        })
    }

    /// Roughness in G, metal in B: glass is smooth.
    pub(crate) fn roughness(&self, side: u32) -> Image {
        let name = format!("{}-roughness", self.name);
        paint(&name, side, side, |u, v| {
            let (_, inside, _) = self.window(u, v);
            [1.0, if inside > 0.0 { 0.32 } else { 0.8 }, 0.0, 1.0]
        })
    }
}

/// Shop windows with displays; a tile of 12 m × 4.5 m.
pub(crate) fn shops(glow: bool) -> Image {
    paint(if glow { "shops-glow" } else { "shops" }, 1024, 256, |u, v| {
        let shop = floor_index(u * 3.0);
        let x = (u * 3.0).fract();
        let pane = (x * 4.0).fract();
        let frame = !((0.06..=0.93).contains(&v) && (0.03..=0.97).contains(&x) && (0.02..=0.98).contains(&pane));
        let door = (1..2).contains(&floor_index(x * 4.0)) && v > 0.15;
        if frame || (door && (pane - 0.5).abs() < 0.015) {
            return if glow {
                [0.0, 0.0, 0.0, 1.0]
            } else {
                [0.10, 0.10, 0.11, 1.0]
            };
        }
        let hue = [[1.0, 0.80, 0.55], [0.95, 0.95, 1.0], [1.0, 0.70, 0.62]][(shop.unsigned_abs() % 3) as usize];
        let shelf = if v > 0.45 && !door {
            0.55 + 0.45 * hash(61, texel(u, 96), floor_index(v * 9.0))
        } else {
            0.9
        };
        let goods = hash(62, texel(u, 96), floor_index(v * 9.0));
        let light = (1.25 - v).min(1.0) * shelf;
        let color = if v > 0.5 && goods > 0.45 && !door {
            let tints = [
                [0.85, 0.35, 0.30],
                [0.35, 0.55, 0.75],
                [0.92, 0.80, 0.42],
                [0.45, 0.66, 0.42],
            ];
            tints[floor_index(goods * 399.0).unsigned_abs() as usize % 4]
        } else {
            hue
        };
        let [r, g, b] = color.map(|c| c * light * if glow { 0.95 } else { 0.42 });
        [r, g, b, 1.0]
    })
}

/// A spray of leaves with alpha.
pub(crate) fn leaves() -> Image {
    paint("leaves", 256, 256, |u, v| {
        let mut color = [0.30, 0.40, 0.16, 0.0];
        for i in 0..46 {
            let (cx, cy) = (0.12 + 0.76 * hash(71, i, 0), 0.12 + 0.76 * hash(72, i, 0));
            let angle = hash(73, i, 0) * std::f32::consts::TAU;
            let (dx, dy) = (u - cx, v - cy);
            let (along, across) = (dx * angle.cos() + dy * angle.sin(), dy * angle.cos() - dx * angle.sin());
            let edge = 1.0 - (along / 0.085).powi(2) - (across / 0.034).powi(2);
            if edge > 0.0 {
                let shade = 0.75 + 0.5 * hash(74, i, 0) - if across.abs() < 0.004 { 0.18 } else { 0.0 };
                color = [0.34 * shade, 0.47 * shade, 0.17 * shade, 1.0];
            }
        }
        color
    })
}

/// The screen on the department store: dusk over the river, hills of lights, and a line of welcome.
pub(crate) fn screen(sheet: &Image) -> Image {
    let letters: Patch = WELCOME;
    paint("screen", 512, 256, |u, v| {
        let sky = mix([0.10, 0.05, 0.35], [1.0, 0.45, 0.25], (v * 1.5).min(1.0));
        let ridge = 0.52 + 0.12 * noise(81, u * 6.0, 0.0, 64) + 0.05 * noise(82, u * 22.0, 0.0, 64);
        let mut color = sky;
        if v > ridge {
            let lamp = hash(83, texel(u, 170), texel(v, 120));
            color = if lamp > 0.86 {
                [1.0, 0.85, 0.45]
            } else {
                mix([0.16, 0.05, 0.28], [0.03, 0.02, 0.10], v)
            };
        }
        if v > 0.8 {
            let wave = noise(84, u * 30.0, v * 90.0, 256);
            color = mix([0.05, 0.05, 0.25], [1.0, 0.5, 0.3], wave * wave);
        }
        let ink = if (0.12..0.36).contains(&v) {
            letters.ink(sheet, (u - 0.03) / 0.94, (v - 0.12) / 0.24)
        } else {
            0.0
        };
        let [r, g, b] = mix(color, [1.0, 0.98, 0.9], ink);
        // The gaps between the diodes, gone from afar.
        [r, g, b, 1.0]
    })
}

/// A clock's dial without its hands.
pub(crate) fn dial() -> Image {
    paint("dial", 256, 256, |u, v| {
        let (x, y) = (u * 2.0 - 1.0, v * 2.0 - 1.0);
        let radius = x.hypot(y);
        let turn = (x.atan2(-y) / std::f32::consts::TAU).rem_euclid(1.0);
        let hour = ((turn * 12.0 + 0.5).fract() - 0.5).abs() / 12.0 * radius * std::f32::consts::TAU;
        let minute = ((turn * 60.0 + 0.5).fract() - 0.5).abs() / 60.0 * radius * std::f32::consts::TAU;
        let hour_mark = (0.66..0.88).contains(&radius) && hour < 0.035;
        let minute_mark = (0.82..0.88).contains(&radius) && minute < 0.012;
        let rim = radius > 0.94;
        if hour_mark || minute_mark || rim || radius < 0.05 {
            grey(0.10)
        } else {
            [0.96, 0.94, 0.87, 1.0]
        }
    })
}

#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
fn texel(u: f32, side: i32) -> i32 {
    (u * side as f32).floor() as i32
}

#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
fn floor_index(v: f32) -> i32 {
    v.floor() as i32
}

fn smooth(from: f32, to: f32, v: f32) -> f32 {
    let t = ((v - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The name of the monument: gilded characters in pale stone.
pub(crate) fn inscription(sheet: &Image) -> Image {
    paint("inscription", 128, 896, |u, v| {
        let ink = crate::lettering::INSCRIPTION.ink(sheet, u, v);
        let cloud = fractal(91, u, v * 7.0, 7, 3) * 0.08;
        let [r, g, b] = mix([0.90 - cloud, 0.88 - cloud, 0.83 - cloud], [0.42, 0.20, 0.03], ink);
        [r, g, b, 1.0]
    })
}
