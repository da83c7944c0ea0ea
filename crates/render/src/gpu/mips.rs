//! Images brought to their class's size, with all smaller levels. Colours are averaged as light, not as codes.

use std::sync::LazyLock;

use glam::Vec4;
use tongyou_scene::Image;

/// Steps of the table that encodes sRGB.
const STEPS: usize = 4096;

static LINEAR: LazyLock<[f32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        #[expect(clippy::cast_precision_loss, reason = "at most 255")]
        let v = i as f32 / 255.0;
        if v <= 0.040_45 {
            v / 12.92
        } else {
            ((v + 0.055) / 1.055).powf(2.4)
        }
    })
});

static ENCODED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..=STEPS)
        .map(|i| {
            #[expect(clippy::cast_precision_loss, reason = "at most 4096")]
            let v = i as f32 / STEPS as f32;
            let code = if v <= 0.003_130_8 {
                v * 12.92
            } else {
                1.055 * v.powf(1.0 / 2.4) - 0.055
            };
            to_byte(code)
        })
        .collect()
});

/// Appends `side`², `side / 2`² … 1² RGBA8 pixels of an image.
pub(crate) fn append_chain(out: &mut Vec<u8>, image: &Image, side: u32, srgb: bool) {
    let mut level = resample(image, side as usize, srgb);
    let mut side = side as usize;
    loop {
        out.extend(level.iter().flat_map(|p| encode(*p, srgb)));
        if side == 1 {
            return;
        }
        let half = side / 2;
        level = (0..half * half)
            .map(|i| {
                let (x, y) = (i % half * 2, i / half * 2);
                let row = |y: usize| level[y * side + x] + level[y * side + x + 1];
                (row(y) + row(y + 1)) * 0.25
            })
            .collect();
        side = half;
    }
}

/// A square image of the wanted size: the average of what each pixel covers, or between neighbours where it grows.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "pixel coordinates of images in memory"
)]
fn resample(image: &Image, side: usize, srgb: bool) -> Vec<Vec4> {
    let (w, h) = (image.width as usize, image.height as usize);
    let pixel = |x: usize, y: usize| decode(&image.pixels[(y * w + x) * 4..][..4], srgb);
    let axis = |size: usize| -> Vec<(usize, usize, f32)> {
        (0..side)
            .map(|i| {
                if size >= side {
                    let (from, to) = (i * size / side, (i + 1) * size / side);
                    (from, to.max(from + 1), 0.0)
                } else {
                    let at = ((i as f32 + 0.5) * size as f32 / side as f32 - 0.5).max(0.0);
                    let from = (at as usize).min(size - 1);
                    (from, (from + 1).min(size - 1), at - from as f32)
                }
            })
            .collect()
    };
    let (across, down) = (axis(w), axis(h));
    let along = |y: usize, (from, to, mix): (usize, usize, f32)| {
        if w >= side {
            (from..to).map(|x| pixel(x, y)).sum::<Vec4>() / (to - from) as f32
        } else {
            pixel(from, y).lerp(pixel(to, y), mix)
        }
    };
    let mut out = Vec::with_capacity(side * side);
    for &(from, to, mix) in &down {
        for &x in &across {
            out.push(if h >= side {
                (from..to).map(|y| along(y, x)).sum::<Vec4>() / (to - from) as f32
            } else {
                along(from, x).lerp(along(to, x), mix)
            });
        }
    }
    out
}

fn decode(p: &[u8], srgb: bool) -> Vec4 {
    let channel = |v: u8| {
        if srgb {
            LINEAR[usize::from(v)]
        } else {
            f32::from(v) / 255.0
        }
    };
    Vec4::new(channel(p[0]), channel(p[1]), channel(p[2]), f32::from(p[3]) / 255.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to the table"
)]
fn encode(p: Vec4, srgb: bool) -> [u8; 4] {
    let channel = |v: f32| {
        if srgb {
            ENCODED[(v.clamp(0.0, 1.0) * STEPS as f32 + 0.5) as usize]
        } else {
            to_byte(v)
        }
    };
    [channel(p.x), channel(p.y), channel(p.z), to_byte(p.w)]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a byte"
)]
fn to_byte(v: f32) -> u8 {
    (v.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_ends_in_the_average_as_light() {
        // Half black, half white: as light the average is 50 %, as an sRGB code 188.
        let pixels = (0..8 * 4)
            .flat_map(|i| if i % 8 < 4 { [0, 0, 0, 255] } else { [255; 4] })
            .collect();
        let image = Image {
            name: String::new(),
            width: 8,
            height: 4,
            pixels,
        };
        for (srgb, expected) in [(true, 188), (false, 128)] {
            let mut out = Vec::new();
            append_chain(&mut out, &image, 8, srgb);
            assert_eq!(out.len(), (64 + 16 + 4 + 1) * 4);
            assert_eq!(out[out.len() - 4..], [expected, expected, expected, 255]);
            assert_eq!(out[..4], [0, 0, 0, 255]);
            assert_eq!(out[28..32], [255; 4]);
        }
    }
}
