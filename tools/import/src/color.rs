//! sRGB as scans have it to linear as glTF's vertex colours are.

/// An sRGB byte as a linear byte.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 255"
)]
fn to_linear(v: u8) -> u8 {
    let v = f32::from(v) / 255.0;
    let linear = if v <= 0.04045 {
        v / 12.92
    } else {
        ((v + 0.055) / 1.055).powf(2.4)
    };
    (linear * 255.0).round() as u8
}

/// Linear RGBA of an sRGB colour with alpha.
pub(crate) fn linear([r, g, b, a]: [u8; 4]) -> [u8; 4] {
    [to_linear(r), to_linear(g), to_linear(b), a]
}

/// A channel in 0..=1 as a byte.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a byte"
)]
pub(crate) fn byte(unit: f64) -> u8 {
    (unit.clamp(0.0, 1.0) * 255.0).round() as u8
}
