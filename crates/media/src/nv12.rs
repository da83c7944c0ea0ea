//! The picture layout that encoders take and decoders give: contiguous NV12.

/// A picture's size in luma samples; both even, 16 to 3840 (the longer side) and 2160 (the shorter).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    width: u16,
    height: u16,
}

/// A size that no encoder here takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("picture size {width}x{height}: both must be even, at least 16 and at most 3840x2160 or 2160x3840")]
pub struct SizeError {
    /// The width asked for, in luma samples.
    pub width: u32,
    /// The height asked for, in luma samples.
    pub height: u32,
}

impl Size {
    /// Checks a size in luma samples.
    ///
    /// # Errors
    /// When a side is odd, below 16 or beyond the codec's limits.
    pub fn new(width: u32, height: u32) -> Result<Self, SizeError> {
        let error = SizeError { width, height };
        let fits = width.max(height) <= 3840 && width.min(height) <= 2160 && width.min(height) >= 16;
        if !fits || !width.is_multiple_of(2) || !height.is_multiple_of(2) {
            return Err(error);
        }
        Ok(Self {
            width: u16::try_from(width).map_err(|_| error)?,
            height: u16::try_from(height).map_err(|_| error)?,
        })
    }

    /// Width in luma samples.
    #[must_use]
    pub fn width(self) -> usize {
        usize::from(self.width)
    }

    /// Height in luma samples.
    #[must_use]
    pub fn height(self) -> usize {
        usize::from(self.height)
    }

    /// Bytes of the luma plane.
    #[must_use]
    pub fn luma_len(self) -> usize {
        self.width() * self.height()
    }

    /// Bytes of a whole NV12 picture.
    #[must_use]
    pub fn nv12_len(self) -> usize {
        self.luma_len() * 3 / 2
    }

    /// Macroblocks of 16×16 that cover the picture.
    #[must_use]
    pub fn macroblocks(self) -> usize {
        self.width().div_ceil(16) * self.height().div_ceil(16)
    }

    pub(crate) fn c_width(self) -> i32 {
        i32::from(self.width)
    }

    pub(crate) fn c_height(self) -> i32 {
        i32::from(self.height)
    }
}

/// Splits interleaved Cb, Cr into two planes of equal length.
pub(crate) fn deinterleave(uv: &[u8], u: &mut [u8], v: &mut [u8]) {
    for ((pair, u), v) in uv.as_chunks::<2>().0.iter().zip(u).zip(v) {
        [*u, *v] = *pair;
    }
}

/// Joins a row of Cb and a row of Cr.
pub(crate) fn interleave(u: &[u8], v: &[u8], uv: &mut [u8]) {
    for ((pair, u), v) in uv.as_chunks_mut::<2>().0.iter_mut().zip(u).zip(v) {
        *pair = [*u, *v];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked() {
        assert_eq!(Size::new(1536, 1024).unwrap().nv12_len(), 1536 * 1024 * 3 / 2);
        for (width, height) in [
            (0, 0),
            (15, 16),
            (16, 14),
            (1535, 1024),
            (1536, 1023),
            (3842, 16),
            (2162, 2162),
            (u32::MAX, 16),
        ] {
            let error = Size::new(width, height).unwrap_err();
            assert_eq!((error.width, error.height), (width, height));
        }
        assert!(Size::new(2160, 3840).is_ok());
    }

    #[test]
    fn interleaving_is_its_own_inverse() {
        let uv: Vec<u8> = (0..64).collect();
        let (mut u, mut v, mut back) = (vec![0; 32], vec![0; 32], vec![0; 64]);
        deinterleave(&uv, &mut u, &mut v);
        assert_eq!((u[1], v[1]), (2, 3));
        interleave(&u, &v, &mut back);
        assert_eq!(uv, back);
    }
}
