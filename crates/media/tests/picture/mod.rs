//! Synthetic pictures with detail at several scales, and their comparison.
#![allow(dead_code, reason = "each user takes its part")]
#![allow(clippy::cast_possible_truncation, reason = "values are masked to bytes")]

use tongyou_media::Size;

/// Texture, edges and a gradient, without movement.
pub(crate) fn still(size: Size) -> Vec<u8> {
    moving(size, 0)
}

/// The same, panned by three pixels a set, with a block that runs across.
pub(crate) fn moving(size: Size, set: u32) -> Vec<u8> {
    let (width, height) = (size.width(), size.height());
    let shift = set as usize * 3;
    let block = (set as usize * 7) % width;
    let mut nv12 = Vec::with_capacity(size.nv12_len());
    for y in 0..height {
        for x in 0..width {
            let u = x + shift;
            let gradient = (u / 4 + y / 3) % 160;
            let texture = hash(u / 2, y / 2) % 24;
            let edge = if (u / 32 + y / 32).is_multiple_of(2) { 30 } else { 0 };
            let inside = x.wrapping_sub(block) < 40 && (height / 3..height / 2).contains(&y);
            nv12.push(if inside {
                210
            } else {
                (20 + gradient + texture + edge) as u8
            });
        }
    }
    for y in 0..height / 2 {
        for x in 0..width / 2 {
            nv12.push((100 + (x + shift / 2) / 8 % 50) as u8);
            nv12.push((110 + y / 8 % 40) as u8);
        }
    }
    nv12
}

/// The same with grain that is new in each set, so that there is always something to code.
pub(crate) fn grainy(size: Size, set: u32) -> Vec<u8> {
    let mut nv12 = moving(size, set);
    for (at, luma) in nv12[..size.luma_len()].iter_mut().enumerate() {
        *luma = luma.saturating_add((hash(at, set as usize + 7) % 12) as u8);
    }
    nv12
}

/// Peak signal to noise ratio of the luma planes, in dB.
pub(crate) fn psnr_luma(a: &[u8], b: &[u8], size: Size) -> f64 {
    let n = size.luma_len();
    let squares: u64 = a[..n]
        .iter()
        .zip(&b[..n])
        .map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2))
        .sum();
    10.0 * (255.0 * 255.0 / (squares as f64 / n as f64).max(1e-9)).log10()
}

fn hash(x: usize, y: usize) -> usize {
    let mut h = (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    ((h ^ (h >> 12)) >> 8) as usize
}
