//! What an encoder is asked for.

use super::Error;
use crate::Size;

/// Settings of one encoder. Bit rate and picture rate can be changed while it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// The picture's size.
    pub size: Size,
    /// Target in bits per second.
    pub bitrate_bps: u32,
    /// Pictures a second that the rate control should expect (1 to 60).
    pub fps: f32,
    /// Worker threads; each codes one slice of the picture (1 to 16).
    pub threads: u8,
    /// How symbols are coded.
    pub entropy: Entropy,
    /// Finest quantiser that the rate control may choose (0 to 51): below about 10, bits no longer buy anything seen.
    /// At 14 a layer that is looked at closely is a quarter worse than an uncompressed one (FLIP, `tests/suite/truth.rs`).
    pub min_qp: u8,
    /// Coarsest quantiser that the rate control may choose (0 to 51).
    pub max_qp: u8,
}

/// The entropy coder, and with it the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Entropy {
    /// Constrained baseline: the cheapest to encode and decode.
    #[default]
    Cavlc,
    /// Main profile: fewer bits for the same picture, more time on both sides.
    Cabac,
}

impl Config {
    /// Low-latency settings for a picture size, 8 Mbit/s at 30 pictures a second on one thread.
    #[must_use]
    pub fn new(size: Size) -> Self {
        Self {
            size,
            bitrate_bps: 8_000_000,
            fps: 30.0,
            threads: 1,
            entropy: Entropy::default(),
            min_qp: 10,
            max_qp: 42,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the field that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        check_bitrate(self.size, self.bitrate_bps)?;
        check_fps(self.fps)?;
        if !(1..=16).contains(&self.threads) {
            return Err(out_of_range("threads", self.threads, "1 to 16"));
        }
        if self.max_qp > 51 {
            return Err(out_of_range("max_qp", self.max_qp, "at most 51"));
        }
        if self.min_qp > self.max_qp {
            return Err(out_of_range("min_qp", self.min_qp, "at most max_qp"));
        }
        Ok(())
    }
}

/// The lowest level (times ten) that holds the picture at 60 pictures a second, and its bit rate limit for the
/// baseline and main profiles (H.264 table A-1). The level stays the same when the rates change.
pub(super) fn level(size: Size) -> (u8, u32) {
    const TABLE: [(usize, usize, u8, u32); 7] = [
        // (macroblocks per second, per picture, level, bits per second)
        (40_500, 1_620, 30, 10_000_000),
        (108_000, 3_600, 31, 14_000_000),
        (216_000, 5_120, 32, 20_000_000),
        (245_760, 8_192, 41, 50_000_000),
        (522_240, 8_704, 42, 50_000_000),
        (983_040, 36_864, 51, 240_000_000),
        (2_073_600, 36_864, 52, 240_000_000),
    ];
    let picture = size.macroblocks();
    let row = TABLE
        .iter()
        .find(|row| picture * 60 <= row.0 && picture <= row.1)
        .unwrap_or(&TABLE[6]);
    (row.2, row.3)
}

pub(super) fn check_bitrate(size: Size, bitrate_bps: u32) -> Result<(), Error> {
    if bitrate_bps < 10_000 || bitrate_bps > level(size).1 {
        return Err(out_of_range(
            "bitrate_bps",
            bitrate_bps,
            "at least 10000 and within the level of the size",
        ));
    }
    Ok(())
}

pub(super) fn check_fps(fps: f32) -> Result<(), Error> {
    if !(1.0..=60.0).contains(&fps) {
        return Err(out_of_range("fps", fps, "1 to 60"));
    }
    Ok(())
}

fn out_of_range(name: &'static str, value: impl ToString, expected: &'static str) -> Error {
    Error::Config {
        name,
        value: value.to_string(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_holds_the_atlas_at_60_hz() {
        assert_eq!(level(Size::new(1536, 1024).unwrap()), (42, 50_000_000));
        assert_eq!(level(Size::new(320, 240).unwrap()).0, 30);
        assert_eq!(level(Size::new(3840, 2160).unwrap()).0, 52);
    }

    #[test]
    fn each_field_is_checked_by_name() {
        let good = Config::new(Size::new(64, 64).unwrap());
        good.check().unwrap();
        let field = |config: Config| match config.check() {
            Err(Error::Config { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(Config { bitrate_bps: 0, ..good }), "bitrate_bps");
        assert_eq!(
            field(Config {
                bitrate_bps: 50_000_000,
                ..good
            }),
            "bitrate_bps"
        );
        assert_eq!(field(Config { fps: f32::NAN, ..good }), "fps");
        assert_eq!(field(Config { threads: 0, ..good }), "threads");
        assert_eq!(field(Config { max_qp: 52, ..good }), "max_qp");
        assert_eq!(field(Config { min_qp: 43, ..good }), "min_qp");
    }
}
