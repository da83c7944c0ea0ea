//! H.264 parameter sets: enough of the syntax to name the codec and to check what a stream says about its colour.
//!
//! Source: ITU-T H.264 (08/2021), 7.3.2.1.1 (SPS), E.1.1 (VUI), B.1 (Annex B), and RFC 6381 for the codec string.

/// What a sequence parameter set says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sps {
    /// `profile_idc`: 66 baseline, 77 main, 100 high.
    pub profile: u8,
    /// The byte of constraint flags after it, flag 0 in the highest bit.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
    /// Picture width after cropping, in luma samples.
    pub width: u32,
    /// Picture height after cropping, in luma samples.
    pub height: u32,
    /// Most reference frames that the decoder keeps.
    pub references: u32,
    /// What the VUI says about colour; `None` when it says nothing.
    pub colour: Option<Colour>,
}

/// Colour signalling, with the code points of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// Whether luma spans 0–255 instead of 16–235.
    pub full_range: bool,
    /// `colour_primaries`; 1 is BT.709.
    pub primaries: u8,
    /// `transfer_characteristics`; 13 is sRGB.
    pub transfer: u8,
    /// `matrix_coefficients`; 1 is BT.709.
    pub matrix: u8,
}

impl Colour {
    /// What every stream of this project signals: BT.709 primaries and matrix, sRGB transfer, limited range.
    pub const TONGYOU: Self = Self {
        full_range: false,
        primaries: 1,
        transfer: 13,
        matrix: 1,
    };
}

/// A sequence parameter set that can not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpsError {
    /// No NAL unit of type 7 in the given bytes.
    #[error("no sequence parameter set in the stream")]
    Missing,
    /// The bits end early.
    #[error("sequence parameter set ends at bit {0}")]
    Truncated(usize),
    /// A value beyond what the standard allows.
    #[error("sequence parameter set: {0} is out of range")]
    Invalid(&'static str),
}

impl Sps {
    /// Reads the first SPS of an Annex B stream.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn from_annex_b(stream: &[u8]) -> Result<Self, SpsError> {
        let nal = nal_units(stream).find(|nal| nal.first().is_some_and(|header| header & 0x1f == 7));
        Self::parse(&unescape(nal.ok_or(SpsError::Missing)?.get(1..).unwrap_or_default()))
    }

    /// The codec string of RFC 6381, such as `avc1.42C02A`, as WebCodecs wants it.
    #[must_use]
    pub fn codec_string(&self) -> String {
        format!("avc1.{:02X}{:02X}{:02X}", self.profile, self.constraints, self.level)
    }

    fn parse(rbsp: &[u8]) -> Result<Self, SpsError> {
        let mut bits = Bits { bytes: rbsp, at: 0 };
        let (profile, constraints, level) = (bits.byte()?, bits.byte()?, bits.byte()?);
        bits.ue()?; // seq_parameter_set_id
        let mut chroma_format = 1;
        if matches!(
            profile,
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
        ) {
            chroma_format = bits.ue()?;
            if chroma_format != 1 {
                return Err(SpsError::Invalid("chroma_format_idc (only 4:2:0 is read)"));
            }
            bits.ue()?; // bit_depth_luma_minus8
            bits.ue()?; // bit_depth_chroma_minus8
            bits.flag()?; // qpprime_y_zero_transform_bypass_flag
            if bits.flag()? {
                return Err(SpsError::Invalid("seq_scaling_matrix_present_flag (not read)"));
            }
        }
        debug_assert_eq!(chroma_format, 1);
        bits.ue()?; // log2_max_frame_num_minus4
        match bits.ue()? {
            0 => drop(bits.ue()?),
            1 => {
                bits.flag()?;
                bits.ue()?; // offset_for_non_ref_pic, signed: the same length
                bits.ue()?;
                let cycle = bits.ue()?;
                if cycle > 255 {
                    return Err(SpsError::Invalid("num_ref_frames_in_pic_order_cnt_cycle"));
                }
                for _ in 0..cycle {
                    bits.ue()?;
                }
            }
            2 => {}
            _ => return Err(SpsError::Invalid("pic_order_cnt_type")),
        }
        let references = bits.ue()?;
        bits.flag()?; // gaps_in_frame_num_value_allowed_flag
        let (columns, rows) = (bits.ue()?, bits.ue()?);
        if columns > 1023 || rows > 1023 {
            return Err(SpsError::Invalid("picture size"));
        }
        let frames_only = bits.flag()?;
        if !frames_only {
            bits.flag()?; // mb_adaptive_frame_field_flag
        }
        bits.flag()?; // direct_8x8_inference_flag
        let mut crop = [0; 4];
        if bits.flag()? {
            for side in &mut crop {
                *side = bits.ue()?;
            }
        }
        let [left, right, top, bottom] = crop;
        let unit_y = if frames_only { 2 } else { 4 };
        let cropped = |whole: u32, a: u32, b: u32, unit: u32| {
            a.checked_add(b)
                .and_then(|cut| cut.checked_mul(unit))
                .and_then(|cut| whole.checked_sub(cut))
        };
        let width = cropped((columns + 1) * 16, left, right, 2).ok_or(SpsError::Invalid("frame_crop offsets"))?;
        let whole_height = (rows + 1) * 16 * if frames_only { 1 } else { 2 };
        let height = cropped(whole_height, top, bottom, unit_y).ok_or(SpsError::Invalid("frame_crop offsets"))?;
        let colour = if bits.flag()? { vui_colour(&mut bits)? } else { None };
        Ok(Self {
            profile,
            constraints,
            level,
            width,
            height,
            references,
            colour,
        })
    }
}

/// The NAL units of an Annex B stream, without their start codes, in order.
pub fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = unit.windows(3).position(|window| window == [0, 0, 1]);
        rest = end.map(|at| &unit[at + 3..]);
        let unit = &unit[..end.unwrap_or(unit.len())];
        // A four-byte start code leaves its first zero behind, and trailing zeros are not part of a unit.
        let trimmed = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(&unit[..trimmed])
    })
}

fn after_start_code(stream: &[u8]) -> Option<&[u8]> {
    let at = stream.windows(3).position(|window| window == [0, 0, 1])?;
    Some(&stream[at + 3..])
}

fn vui_colour(bits: &mut Bits<'_>) -> Result<Option<Colour>, SpsError> {
    if bits.flag()? && bits.byte()? == 255 {
        bits.skip(32)?; // an explicit sample aspect ratio
    }
    if bits.flag()? {
        bits.flag()?; // overscan_appropriate_flag
    }
    if !bits.flag()? {
        return Ok(None);
    }
    bits.skip(3)?; // video_format
    let full_range = bits.flag()?;
    if !bits.flag()? {
        return Ok(Some(Colour {
            full_range,
            primaries: 2,
            transfer: 2,
            matrix: 2,
        }));
    }
    Ok(Some(Colour {
        full_range,
        primaries: bits.byte()?,
        transfer: bits.byte()?,
        matrix: bits.byte()?,
    }))
}

/// Removes the emulation prevention bytes of a NAL unit.
fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let mut out = Vec::with_capacity(nal.len());
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn flag(&mut self) -> Result<bool, SpsError> {
        let byte = self.bytes.get(self.at / 8).ok_or(SpsError::Truncated(self.at))?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    fn byte(&mut self) -> Result<u8, SpsError> {
        let mut value = 0;
        for _ in 0..8 {
            value = value << 1 | u8::from(self.flag()?);
        }
        Ok(value)
    }

    fn skip(&mut self, count: usize) -> Result<(), SpsError> {
        for _ in 0..count {
            self.flag()?;
        }
        Ok(())
    }

    /// An unsigned Exp-Golomb code (9.1).
    fn ue(&mut self) -> Result<u32, SpsError> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(SpsError::Invalid("an Exp-Golomb code"));
            }
        }
        let mut value: u32 = 1;
        for _ in 0..zeros {
            value = value << 1 | u32::from(self.flag()?);
        }
        Ok(value - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_split_at_both_start_codes() {
        let stream = [9, 0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 0, 5];
        let units: Vec<&[u8]> = nal_units(&stream).collect();
        assert_eq!(units, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 0, 5]]);
        assert_eq!(nal_units(&[1, 2, 3]).count(), 0);
    }

    #[test]
    fn emulation_prevention_is_undone() {
        assert_eq!(unescape(&[1, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [1, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn a_damaged_set_is_an_error_at_every_length() {
        // x264's SPS for 320x240, high profile.
        let sps = [
            0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0xfa, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00,
        ];
        let mut stream = vec![0, 0, 0, 1];
        stream.extend(sps);
        let whole = Sps::from_annex_b(&stream).unwrap();
        assert_eq!(
            (whole.width, whole.height, whole.codec_string().as_str()),
            (320, 240, "avc1.64000D")
        );
        for length in 0..12 {
            assert!(Sps::from_annex_b(&stream[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(Sps::from_annex_b(&[0, 0, 1, 0x68, 1]), Err(SpsError::Missing));
    }
}
