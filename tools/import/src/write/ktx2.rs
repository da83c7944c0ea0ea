//! Images as KTX2 (`KHR_texture_basisu`): ETC1S for colour and data, UASTC with zstd for normal maps, mipmaps down to
//! one pixel. The encoder writes `.basis`; the container is written here.

use basis_universal::{BasisTextureFormat, ColorSpace, Compressor, CompressorParams};
use image::imageops::{self, FilterType};
use tongyou_scene::Image;

/// ETC1S quality, of 1..=255: beyond it files grow faster than they get better.
const QUALITY: u32 = 190;
/// zstd's level for UASTC, which is made to be packed again.
const ZSTD_LEVEL: i32 = 15;
const MAGIC: [u8; 12] = [
    0xAB, b'K', b'T', b'X', b' ', b'2', b'0', 0xBB, b'\r', b'\n', 0x1A, b'\n',
];
/// Khronos data format: colour models and transfer functions.
const MODEL_ETC1S: u8 = 163;
const MODEL_UASTC: u8 = 166;
const LINEAR: u8 = 1;
const SRGB: u8 = 2;

/// What the numbers of an image mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// sRGB colours; averages are taken of light, not of codes.
    Color {
        /// Whether alpha means something.
        alpha: bool,
    },
    /// Linear numbers, such as roughness.
    Data,
    /// Directions in tangent space.
    Normals,
}

/// An image as a KTX2 file. Sides are rounded up to multiples of four pixels, as `KHR_texture_basisu` wants them.
/// The same image gives the same bytes.
///
/// # Errors
/// Why the encoder refuses it.
pub fn ktx2(image: &Image, content: Content) -> Result<Vec<u8>, String> {
    let (width, height) = (image.width.next_multiple_of(4), image.height.next_multiple_of(4));
    let there = image.width as usize * image.height as usize * 4;
    if there == 0 || image.pixels.len() != there || width.max(height) > basis_universal::IMAGE_DIMENSION_MAX {
        return Err(format!("an image of {width} by {height} can not be encoded"));
    }
    let mut pixels = resized(image, width, height);
    if content != (Content::Color { alpha: true }) {
        pixels.as_chunks_mut::<4>().0.iter_mut().for_each(|p| p[3] = 255);
    }
    let basis = encode(&pixels, width, height, content)?;
    Container::of(&basis, content).map(|c| c.bytes(width, height))
}

/// The pixels of an image at another size.
fn resized(image: &Image, width: u32, height: u32) -> Vec<u8> {
    let pixels = image.pixels.clone();
    if (width, height) == (image.width, image.height) {
        return pixels;
    }
    let buffer = image::RgbaImage::from_raw(image.width, image.height, pixels).unwrap_or_default();
    imageops::resize(&buffer, width, height, FilterType::Triangle).into_raw()
}

#[expect(
    unsafe_code,
    reason = "the encoder is C++; it is given sizes and pixels that were compared here"
)]
fn encode(pixels: &[u8], width: u32, height: u32, content: Content) -> Result<Vec<u8>, String> {
    let mut params = CompressorParams::new();
    params.source_image_mut(0).init(pixels, width, height, 4);
    params.set_generate_mipmaps(true);
    match content {
        Content::Color { .. } => {
            params.set_basis_format(BasisTextureFormat::ETC1S);
            params.set_color_space(ColorSpace::Srgb);
            params.set_mip_color_space(ColorSpace::Srgb);
            params.set_etc1s_quality_level(QUALITY);
        }
        Content::Data => {
            params.set_basis_format(BasisTextureFormat::ETC1S);
            params.set_color_space(ColorSpace::Linear);
            params.set_mip_color_space(ColorSpace::Linear);
            params.set_etc1s_quality_level(QUALITY);
        }
        Content::Normals => {
            params.set_basis_format(BasisTextureFormat::UASTC4x4);
            params.tune_for_normal_maps();
            params.set_uastc_quality_level(basis_universal::UASTC_QUALITY_DEFAULT);
        }
    }
    // One thread: the bytes must not depend on the machine. Images are encoded beside each other instead.
    let mut compressor = Compressor::new(1);
    // SAFETY: the image has as many pixels as its sides say (checked by the caller), the parameters are within the
    // ranges that their setters assert, and both outlive the call.
    let done = unsafe { compressor.init(&params) && compressor.process().is_ok() };
    if !done || compressor.basis_file_size() == 0 {
        return Err("the texture encoder refuses the image".into());
    }
    Ok(compressor.basis_file().to_vec())
}

/// One mipmap level: colour and, for ETC1S with alpha, a second slice.
#[derive(Default)]
struct Level {
    color: Vec<u8>,
    alpha: Vec<u8>,
}

impl Level {
    fn bytes(&self) -> Vec<u8> {
        [self.color.as_slice(), self.alpha.as_slice()].concat()
    }
}

/// What a `.basis` file holds, to be put into a KTX2.
struct Container {
    levels: Vec<Level>,
    /// Codebooks of ETC1S: endpoints, selectors, tables, and the counts of the first two.
    codebooks: Option<([Vec<u8>; 3], [u16; 2])>,
    transfer: u8,
}

/// Reads little-endian numbers of the packed structures of a `.basis` file.
fn number(bytes: &[u8], at: usize, width: usize) -> Result<usize, String> {
    let field = bytes.get(at..at + width).ok_or("the encoder's file is cut off")?;
    Ok(field.iter().rev().fold(0, |all, &b| all << 8 | usize::from(b)))
}

fn piece(bytes: &[u8], at: usize, length: usize) -> Result<Vec<u8>, String> {
    let end = at.checked_add(length);
    let piece = end.and_then(|end| bytes.get(at..end));
    Ok(piece.ok_or("the encoder's file is cut off")?.to_vec())
}

impl Container {
    /// Takes a `.basis` file apart; offsets are those of its packed header and slice descriptions.
    fn of(basis: &[u8], content: Content) -> Result<Self, String> {
        let slices = number(basis, 14, 3)?;
        let is_uastc = number(basis, 20, 1)? == 1;
        let descriptions = number(basis, 65, 4)?;
        let mut levels: Vec<Level> = Vec::new();
        for slice in 0..slices {
            let at = descriptions + slice * 23;
            let level = number(basis, at + 3, 1)?;
            let bytes = piece(basis, number(basis, at + 13, 4)?, number(basis, at + 17, 4)?)?;
            if level >= levels.len() {
                levels.resize_with(level + 1, Level::default);
            }
            let is_alpha = number(basis, at + 4, 1)? & 1 == 1 && !is_uastc;
            let slot = if is_alpha {
                &mut levels[level].alpha
            } else {
                &mut levels[level].color
            };
            *slot = bytes;
        }
        let codebooks = if is_uastc {
            None
        } else {
            let count = |at| number(basis, at, 2).and_then(|n| u16::try_from(n).map_err(|e| e.to_string()));
            let books = [
                piece(basis, number(basis, 41, 4)?, number(basis, 45, 3)?)?,
                piece(basis, number(basis, 50, 4)?, number(basis, 54, 3)?)?,
                piece(basis, number(basis, 57, 4)?, number(basis, 61, 4)?)?,
            ];
            Some((books, [count(39)?, count(48)?]))
        };
        let transfer = if matches!(content, Content::Color { .. }) {
            SRGB
        } else {
            LINEAR
        };
        Ok(Self {
            levels,
            codebooks,
            transfer,
        })
    }

    /// The Khronos data format descriptor: one basic block, a sample for each slice of a block.
    fn descriptor(&self) -> Vec<u8> {
        let (model, samples): (u8, &[[u8; 3]]) = match &self.codebooks {
            // Bit offset, bit length - 1, channel: RGB is 0, a second slice of alpha is 15.
            Some(_) if self.levels.iter().any(|l| !l.alpha.is_empty()) => (MODEL_ETC1S, &[[0, 63, 0], [64, 63, 15]]),
            Some(_) => (MODEL_ETC1S, &[[0, 63, 0]]),
            None => (MODEL_UASTC, &[[0, 127, 0]]),
        };
        let block = 24 + 16 * samples.len();
        let mut out = Vec::new();
        out.extend(words(&[block + 4, 0, 2 | block << 16]));
        // BT.709 primaries; blocks of 4 by 4; the bytes of a plane are 0 in data that is packed again.
        out.extend([model, 1, self.transfer, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for [offset, length, channel] in samples {
            out.extend([
                *offset, 0, *length, *channel, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF,
            ]);
        }
        out
    }

    /// Codebooks and where the slices of each level lie.
    fn global(&self) -> Vec<u8> {
        let Some((books, counts)) = &self.codebooks else {
            return Vec::new();
        };
        let mut out: Vec<u8> = counts.iter().flat_map(|c| c.to_le_bytes()).collect();
        out.extend(words(&[books[0].len(), books[1].len(), books[2].len(), 0]));
        for level in &self.levels {
            let (color, alpha) = (level.color.len(), level.alpha.len());
            let offset = if alpha > 0 { color } else { 0 };
            out.extend(words(&[0, 0, color, offset, alpha]));
        }
        books.iter().for_each(|b| out.extend(b));
        out
    }

    fn bytes(&self, width: u32, height: u32) -> Vec<u8> {
        let (scheme, packed): (usize, Vec<(Vec<u8>, usize)>) = if self.codebooks.is_some() {
            (1, self.levels.iter().map(|l| (l.bytes(), 0)).collect())
        } else {
            let pack = |l: &Level| {
                (
                    zstd::bulk::compress(&l.color, ZSTD_LEVEL).unwrap_or_default(),
                    l.color.len(),
                )
            };
            (2, self.levels.iter().map(pack).collect())
        };
        let (descriptor, global) = (self.descriptor(), self.global());
        let notes = notes();
        let descriptor_at = 80 + 24 * packed.len();
        let notes_at = descriptor_at + descriptor.len();
        let notes_end = notes_at + notes.len();
        let global_at = if global.is_empty() {
            0
        } else {
            notes_end.next_multiple_of(8)
        };
        let mut at = notes_end.max(global_at + global.len());
        // The smallest level comes first in the file, the largest first in the index.
        let mut places = vec![0; packed.len()];
        for (level, (bytes, _)) in packed.iter().enumerate().rev() {
            places[level] = at;
            at += bytes.len();
        }
        let mut out = MAGIC.to_vec();
        out.extend(words(&[
            0,
            1,
            width as usize,
            height as usize,
            0,
            0,
            1,
            packed.len(),
            scheme,
        ]));
        out.extend(words(&[descriptor_at, descriptor.len(), notes_at, notes.len()]));
        out.extend(longs(&[global_at, global.len()]));
        for ((bytes, unpacked), place) in packed.iter().zip(places) {
            out.extend(longs(&[place, bytes.len(), *unpacked]));
        }
        out.extend(descriptor);
        out.extend(notes);
        if !global.is_empty() {
            out.resize(global_at, 0);
            out.extend(global);
        }
        packed.iter().rev().for_each(|(bytes, _)| out.extend(bytes));
        out
    }
}

/// Key and value pairs, sorted: rows go down, and who wrote the file.
fn notes() -> Vec<u8> {
    let mut out = Vec::new();
    for pair in [
        b"KTXorientation\0rd\0".as_slice(),
        b"KTXwriter\0tongyou-import\0".as_slice(),
    ] {
        out.extend(words(&[pair.len()]));
        out.extend(pair);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// Sizes and offsets of a texture stay far below 4 GiB.
fn words(all: &[usize]) -> Vec<u8> {
    let word = |&n: &usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    all.iter().flat_map(word).collect()
}

fn longs(all: &[usize]) -> Vec<u8> {
    all.iter().flat_map(|&n| (n as u64).to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use basisu::{DecodeFlags, TargetFormat, Transcoder};

    use super::*;

    /// Bricks with mortar, shaded: edges two pixels apart and noise, the worst that ETC1S meets.
    fn wall(width: u32, height: u32, alpha: bool) -> Image {
        let mut pixels = Vec::new();
        let mut seed = 7_u32;
        for y in 0..height {
            for x in 0..width {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = u8::try_from(seed >> 29).unwrap();
                let row = y / 12;
                let mortar = y % 12 < 2 || (x + row % 2 * 16) % 32 < 2;
                let shade = u8::try_from(x * 60 / width).unwrap();
                let [r, g, b] = if mortar { [150, 148, 140] } else { [140, 70, 50] };
                let a = if alpha && (x / 16 + y / 16) % 2 == 0 { 40 } else { 255 };
                pixels.extend([r - shade + noise, g - shade.min(50) + noise, b + noise, a]);
            }
        }
        Image {
            name: String::new(),
            width,
            height,
            pixels,
        }
    }

    fn decoded(file: &[u8], level: u32) -> Vec<u8> {
        let texture = Transcoder::new(file).unwrap();
        texture
            .transcode(level, TargetFormat::Rgba32, DecodeFlags::default())
            .unwrap()
    }

    fn psnr(a: &[u8], b: &[u8], channels: std::ops::Range<usize>) -> f64 {
        let (mut squares, mut count) = (0.0, 0.0);
        for (p, q) in a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0) {
            for c in channels.clone() {
                squares += (f64::from(p[c]) - f64::from(q[c])).powi(2);
                count += 1.0;
            }
        }
        10.0 * (255.0 * 255.0 / (squares / count)).log10()
    }

    #[test]
    fn another_decoder_reads_what_is_written() {
        let check = |image: &Image, content: Content, least_db: f64, channels: std::ops::Range<usize>| {
            let file = ktx2(image, content).unwrap();
            assert_eq!(file, ktx2(image, content).unwrap());
            let texture = Transcoder::new(&file).unwrap();
            assert_eq!(texture.base_dimensions(), (image.width, image.height));
            assert_eq!(texture.level_count(), 8);
            let got = psnr(&image.pixels, &decoded(&file, 0), channels);
            eprintln!(
                "{content:?}: {got:.1} dB, {} bytes of {}",
                file.len(),
                image.pixels.len()
            );
            assert!(got > least_db, "{content:?}: {got}");
            // The last level is one pixel: the mean.
            assert_eq!(decoded(&file, 7).len(), 4);
        };
        check(&wall(128, 96, false), Content::Color { alpha: false }, 26.0, 0..3);
        check(&wall(128, 96, true), Content::Color { alpha: true }, 26.0, 0..4);
        check(&wall(128, 96, false), Content::Data, 26.0, 0..3);
        check(&normals(128), Content::Normals, 40.0, 0..3);
    }

    fn normals(side: u32) -> Image {
        let mut pixels = Vec::new();
        for y in 0..side {
            for x in 0..side {
                let at = |v: u32| (v as f32 / side as f32 * 25.0).sin() * 0.4;
                let n = glam::Vec3::new(at(x), at(y), 1.0).normalize();
                let byte = |v: f32| crate::color::byte(f64::from(v) * 0.5 + 0.5);
                pixels.extend([byte(n.x), byte(n.y), byte(n.z), 255]);
            }
        }
        Image {
            name: String::new(),
            width: side,
            height: side,
            pixels,
        }
    }

    /// A chessboard of black and white pixels is half as bright as white: 188 as a code, not 128.
    #[test]
    fn smaller_levels_keep_the_light() {
        let pixels = (0..64 * 64_u32).flat_map(|i| {
            let on = (i % 64 + i / 64) % 2 == 0;
            [if on { 255 } else { 0 }; 3].into_iter().chain([255])
        });
        let image = Image {
            name: String::new(),
            width: 64,
            height: 64,
            pixels: pixels.collect(),
        };
        let light = |content| decoded(&ktx2(&image, content).unwrap(), 3)[0];
        assert!(light(Content::Color { alpha: false }).abs_diff(188) < 8);
        assert!(light(Content::Data).abs_diff(128) < 8);
    }

    #[test]
    fn odd_sizes_become_multiples_of_four() {
        let file = ktx2(&wall(30, 17, false), Content::Color { alpha: false }).unwrap();
        assert_eq!(Transcoder::new(&file).unwrap().base_dimensions(), (32, 20));
        let empty = Image {
            name: String::new(),
            width: 0,
            height: 3,
            pixels: Vec::new(),
        };
        assert!(ktx2(&empty, Content::Data).is_err());
        let short = Image {
            name: String::new(),
            width: 4,
            height: 4,
            pixels: vec![0; 63],
        };
        assert!(ktx2(&short, Content::Data).is_err());
    }

    /// Alpha that no material asks for is not paid for.
    #[test]
    fn alpha_is_kept_where_it_is_used() {
        let (with, without) = (Content::Color { alpha: true }, Content::Color { alpha: false });
        let image = wall(64, 64, true);
        let alpha = |content| decoded(&ktx2(&image, content).unwrap(), 0)[3];
        assert!(alpha(with).abs_diff(40) < 6);
        assert_eq!(alpha(without), 255);
    }
}
