//! Lossless coding of depth: six faces of a panorama, or two of a stereo pair, of u16 in 32² tiles, plane prediction within a tile, then zstd.
//!
//! A keyframe holds every tile. Any other frame holds the tiles that differ from **its keyframe**, so each frame
//! stands on that one keyframe alone and any frame between may be lost.
//!
//! Layout: `u16 face_size`, `u8 faces`, `u8 log2(tile)`, `u32 tiles present`, a bitmap of all tiles (face by face,
//! row by row, bit 0 first), then one zstd frame of `2 × tile² × tiles present` bytes: the low bytes of all zigzag
//! residuals, then the high bytes. Within a tile a sample is predicted as left + up − up-left, in the first row as
//! left, in the first column as up, at the start as 0; arithmetic wraps at 16 bits.

use crate::Error;
use crate::bytes_io::Reader;
use bytes::Bytes;

/// Samples along the side of a tile.
pub const TILE: usize = 32;
const TILE_SAMPLES: usize = TILE * TILE;
const WHAT: &str = "depth";
/// How many faces there can be.
const FACES: [u8; 2] = [6, 2];
/// The largest face that is accepted.
const MAX_FACE_SIZE: usize = 4096;

/// Depth of six faces, or of two: `samples[face * size² + row * size + column]`, `round(65535 · near / z)`, 0 = sky.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cube {
    size: usize,
    faces: u8,
    samples: Vec<u16>,
}

impl Cube {
    /// Six faces of `size`², or two; `size` is a multiple of [`TILE`].
    ///
    /// # Errors
    /// When the number of samples fits neither.
    pub fn new(size: usize, samples: Vec<u16>) -> Result<Self, Error> {
        if size == 0 || !size.is_multiple_of(TILE) || size > MAX_FACE_SIZE {
            return Err(Error::Invalid {
                what: WHAT,
                field: "face size",
                value: size.to_string(),
            });
        }
        let fits = |faces: u8| samples.len() == usize::from(faces) * size * size;
        let faces = FACES.into_iter().find(|f| fits(*f)).ok_or_else(|| Error::Invalid {
            what: WHAT,
            field: "sample count",
            value: samples.len().to_string(),
        })?;
        Ok(Self { size, faces, samples })
    }

    /// How many faces: six of a panorama, two of a stereo pair.
    #[must_use]
    pub const fn faces(&self) -> u8 {
        self.faces
    }

    /// Samples along the side of a face.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// All samples, face by face, row by row.
    #[must_use]
    pub fn samples(&self) -> &[u16] {
        &self.samples
    }

    /// Codes every tile.
    ///
    /// # Errors
    /// When zstd fails.
    pub fn encode_keyframe(&self, level: i32) -> Result<Bytes, Error> {
        self.encode(|_| true, level)
    }

    /// Codes the tiles that differ from `keyframe`; `None` when none does.
    ///
    /// # Errors
    /// When the sizes differ, or zstd fails.
    pub fn encode_changes(&self, keyframe: &Self, level: i32) -> Result<Option<Bytes>, Error> {
        if !keyframe.is_like(self.size, self.faces) {
            return Err(Error::Invalid {
                what: WHAT,
                field: "keyframe size",
                value: format!("{} faces of {}", keyframe.faces, keyframe.size),
            });
        }
        let differs: Vec<bool> = (0..self.tiles()).map(|t| !self.same_tile(keyframe, t)).collect();
        if differs.contains(&true) {
            self.encode(|t| differs[t], level).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Codes that no tile differs from the keyframe.
    ///
    /// # Errors
    /// When zstd fails.
    pub fn encode_none(&self, level: i32) -> Result<Bytes, Error> {
        self.encode(|_| false, level)
    }

    /// How many tiles differ from another cube; all of them when the sizes or faces differ.
    #[must_use]
    pub fn changed_tiles(&self, other: &Self) -> usize {
        if other.is_like(self.size, self.faces) {
            (0..self.tiles()).filter(|&t| !self.same_tile(other, t)).count()
        } else {
            self.tiles()
        }
    }

    /// Tiles of all faces.
    #[must_use]
    pub const fn tiles(&self) -> usize {
        let across = self.size / TILE;
        self.faces as usize * across * across
    }

    const fn is_like(&self, size: usize, faces: u8) -> bool {
        self.size == size && self.faces == faces
    }

    /// Reads a frame. `keyframe` is needed where the frame does not hold every tile.
    ///
    /// # Errors
    /// When the layout is not followed, the data is damaged, or the keyframe is missing or of another size.
    pub fn decode(bytes: &[u8], keyframe: Option<&Self>) -> Result<Self, Error> {
        let mut r = Reader::new(WHAT, bytes);
        let size = usize::from(r.u16()?);
        let (faces, log2_tile) = (r.u8()?, r.u8()?);
        if size == 0 || size > MAX_FACE_SIZE || !size.is_multiple_of(TILE) {
            return Err(r.invalid("face size", size));
        }
        if !FACES.contains(&faces) || 1 << log2_tile.min(15) != TILE {
            return Err(r.invalid("faces and tile", format!("{faces} and 2^{log2_tile}")));
        }
        let present = r.u32()? as usize;
        let tiles = usize::from(faces) * (size / TILE) * (size / TILE);
        let bitmap = r.take(tiles.div_ceil(8))?;
        let set = (0..tiles).filter(|t| bitmap[t / 8] >> (t % 8) & 1 == 1);
        if set.clone().count() != present {
            return Err(r.invalid("tiles present", present));
        }
        let mut cube = match keyframe {
            Some(k) if k.is_like(size, faces) => k.clone(),
            _ if present == tiles => Self {
                size,
                faces,
                samples: vec![0; usize::from(faces) * size * size],
            },
            Some(k) => return Err(r.invalid("keyframe size", format!("{} faces of {}", k.faces, k.size))),
            None => return Err(r.invalid("keyframe", "missing")),
        };
        let expected = present * TILE_SAMPLES * 2;
        let planes = zstd::bulk::decompress(r.rest(), expected).map_err(|e| Error::Compression {
            what: WHAT,
            message: e.to_string(),
        })?;
        if planes.len() != expected {
            return Err(r.invalid("decompressed bytes", planes.len()));
        }
        let (low, high) = planes.split_at(expected / 2);
        for (i, tile) in set.enumerate() {
            let at = i * TILE_SAMPLES;
            cube.put_tile(tile, &low[at..at + TILE_SAMPLES], &high[at..at + TILE_SAMPLES]);
        }
        Ok(cube)
    }

    fn encode(&self, wanted: impl Fn(usize) -> bool, level: i32) -> Result<Bytes, Error> {
        let mut bitmap = vec![0_u8; self.tiles().div_ceil(8)];
        let (mut low, mut high) = (Vec::new(), Vec::new());
        let mut present = 0_u32;
        for tile in (0..self.tiles()).filter(|&t| wanted(t)) {
            bitmap[tile / 8] |= 1 << (tile % 8);
            present += 1;
            self.residuals(tile, |z| {
                let [l, h] = z.to_le_bytes();
                low.push(l);
                high.push(h);
            });
        }
        low.append(&mut high);
        let packed = zstd::bulk::compress(&low, level).map_err(|e| Error::Compression {
            what: WHAT,
            message: e.to_string(),
        })?;
        let mut out = Vec::with_capacity(8 + bitmap.len() + packed.len());
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_FACE_SIZE")]
        out.extend((self.size as u16).to_le_bytes());
        out.extend([self.faces, 5]);
        out.extend(present.to_le_bytes());
        out.extend(bitmap);
        out.extend(packed);
        Ok(out.into())
    }

    /// Index of a tile's first sample.
    const fn tile_start(&self, tile: usize) -> usize {
        let across = self.size / TILE;
        let (face, rest) = (tile / (across * across), tile % (across * across));
        face * self.size * self.size + rest / across * TILE * self.size + rest % across * TILE
    }

    /// Whether a tile is the same in two cubes of one size.
    fn same_tile(&self, other: &Self, tile: usize) -> bool {
        let start = self.tile_start(tile);
        (0..TILE)
            .map(|y| start + y * self.size)
            .all(|at| self.samples[at..at + TILE] == other.samples[at..at + TILE])
    }

    fn residuals(&self, tile: usize, mut emit: impl FnMut(u16)) {
        let start = self.tile_start(tile);
        for y in 0..TILE {
            for x in 0..TILE {
                let at = start + y * self.size + x;
                let delta = self.samples[at].wrapping_sub(self.predict(at, x, y)).cast_signed();
                emit((delta << 1 ^ delta >> 15).cast_unsigned());
            }
        }
    }

    fn put_tile(&mut self, tile: usize, low: &[u8], high: &[u8]) {
        let start = self.tile_start(tile);
        for y in 0..TILE {
            for x in 0..TILE {
                let at = start + y * self.size + x;
                let i = y * TILE + x;
                let zigzag = u16::from_le_bytes([low[i], high[i]]);
                let delta = zigzag >> 1 ^ 0_u16.wrapping_sub(zigzag & 1);
                self.samples[at] = self.predict(at, x, y).wrapping_add(delta);
            }
        }
    }

    fn predict(&self, at: usize, x: usize, y: usize) -> u16 {
        let s = &self.samples;
        match (x, y) {
            (0, 0) => 0,
            (_, 0) => s[at - 1],
            (0, _) => s[at - self.size],
            _ => s[at - 1]
                .wrapping_add(s[at - self.size])
                .wrapping_sub(s[at - self.size - 1]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A slanted plane with a step and some sky.
    fn sample(size: usize) -> Cube {
        let at = |i: usize| {
            let (x, y) = (i % size, i / size % size);
            if y < 9 {
                0
            } else {
                u16::try_from((x * 13 + y * 7 + usize::from(x > 40) * 9000) % 65_536).unwrap()
            }
        };
        Cube::new(size, (0..6 * size * size).map(at).collect()).unwrap()
    }

    #[test]
    fn a_keyframe_is_lossless_and_small() {
        let cube = sample(128);
        let bytes = cube.encode_keyframe(3).unwrap();
        assert_eq!(Cube::decode(&bytes, None).unwrap(), cube);
        assert!(bytes.len() < 6 * 128 * 128 * 2 / 20, "{} bytes", bytes.len());
    }

    #[test]
    fn changes_stand_on_their_keyframe_alone() {
        let key = sample(64);
        let mut samples = key.samples().to_vec();
        samples[64 * 64 * 3 + 70] = 12_345;
        let moved = Cube::new(64, samples).unwrap();
        assert_eq!(moved.changed_tiles(&key), 1);
        let bytes = moved.encode_changes(&key, 3).unwrap().unwrap();
        assert_eq!(Cube::decode(&bytes, Some(&key)).unwrap(), moved);
        assert!(Cube::decode(&bytes, None).is_err());
        assert_eq!(key.encode_changes(&key, 3).unwrap(), None);
        let back = key.encode_none(3).unwrap();
        assert_eq!(Cube::decode(&back, Some(&key)).unwrap(), key);
    }

    #[test]
    fn forged_sizes_are_refused_before_memory_is_taken() {
        let good = sample(32).encode_keyframe(3).unwrap();
        for (at, value) in [(0, 0xff), (1, 0xff), (2, 7), (3, 40), (4, 9)] {
            let mut bad = good.to_vec();
            bad[at] = value;
            assert!(Cube::decode(&bad, None).is_err(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn noise_is_lossless(seed in prop::collection::vec(any::<u16>(), 64)) {
            let samples = (0..6 * 32 * 32).map(|i| seed[i % 64].wrapping_mul(u16::try_from(i % 251).unwrap())).collect();
            let cube = Cube::new(32, samples).unwrap();
            prop_assert_eq!(Cube::decode(&cube.encode_keyframe(1).unwrap(), None).unwrap(), cube);
        }

        #[test]
        fn damage_is_refused_or_read(at in 0_usize..500, value in any::<u8>(), cut in 0_usize..500) {
            let mut bytes = sample(32).encode_keyframe(3).unwrap().to_vec();
            let n = bytes.len();
            bytes[at % n] = value;
            bytes.truncate(n - cut % n);
            let _ = Cube::decode(&bytes, None);
        }
    }
}
