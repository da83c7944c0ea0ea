//! NV12 back to RGB, for tests, goldens and snapshots.

/// Bytes of an NV12 picture.
#[must_use]
pub const fn nv12_len(width: u32, height: u32) -> usize {
    width as usize * height as usize * 3 / 2
}

/// sRGB-encoded RGB8 of a BT.709 limited-range NV12 picture; `None` when `nv12` is not [`nv12_len`] long. Chroma is
/// not interpolated.
#[must_use]
pub fn rgb_from_nv12(nv12: &[u8], width: u32, height: u32) -> Option<Vec<u8>> {
    if nv12.len() != nv12_len(width, height) {
        return None;
    }
    let (w, h) = (width as usize, height as usize);
    let (luma, chroma) = nv12.split_at(w * h);
    let mut rgb = Vec::with_capacity(w * h * 3);
    for y in 0..h {
        for x in 0..w {
            let at = (y / 2) * w + (x & !1);
            let l = (f32::from(luma[y * w + x]) - 16.0) / 219.0;
            let u = (f32::from(chroma[at]) - 128.0) / 224.0;
            let v = (f32::from(chroma[at + 1]) - 128.0) / 224.0;
            let (r, b) = (l + 1.5748 * v, l + 1.8556 * u);
            let g = (l - 0.2126 * r - 0.0722 * b) / 0.7152;
            rgb.extend([r, g, b].map(to_byte));
        }
    }
    Some(rgb)
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
    fn white_black_and_a_wrong_length() {
        let mut white = vec![235; 8];
        white.extend([128; 4]);
        assert_eq!(rgb_from_nv12(&white, 4, 2), Some(vec![255; 24]));
        let mut black = vec![16; 8];
        black.extend([128; 4]);
        assert_eq!(rgb_from_nv12(&black, 4, 2), Some(vec![0; 24]));
        assert_eq!(rgb_from_nv12(&black[1..], 4, 2), None);
    }
}
