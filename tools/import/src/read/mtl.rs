//! The materials of an OBJ and their textures, from files in its own folder only.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use glam::Vec3;
use image::ImageFormat;
use tongyou_scene::{Alpha, Image, Material};

use super::{Limits, Sink};
use crate::Error;
use crate::data::{Chunk, Look};
use crate::source::{Source, input};

/// Bytes of a material library, and of a texture.
const LIBRARY_BYTES: u64 = 16 << 20;
const IMAGE_BYTES: u64 = 512 << 20;
const MOST_MATERIALS: usize = 4096;

/// The materials of all libraries, and the index of each by name. What is missing is a warning: scans often travel
/// without their textures.
pub(super) fn read(
    source: &Source,
    limits: &Limits,
    libraries: &[String],
    sink: &mut Sink<'_>,
) -> Result<(Look, BTreeMap<String, usize>), Error> {
    let mut look = Look::default();
    let mut names = BTreeMap::new();
    // For each material the image of its opacity.
    let mut opacities: Vec<Option<usize>> = Vec::new();
    let mut images = Images {
        source,
        limits,
        known: BTreeMap::new(),
        pixels: 0,
    };
    for library in libraries {
        let Some(path) = beside(source, library) else {
            sink(Chunk::Warning(format!(
                "material library {library:?} is not a file in the folder of the scan"
            )))?;
            continue;
        };
        let text = load(&path, LIBRARY_BYTES)?;
        let text = String::from_utf8_lossy(&text);
        for (number, line) in text.lines().enumerate() {
            let (keyword, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
            let rest = rest.trim();
            if keyword == "newmtl" {
                if look.materials.len() >= MOST_MATERIALS {
                    return Err(input(
                        &path,
                        format!("line {}", number + 1),
                        "defines the 4097th material",
                    ));
                }
                names.insert(rest.to_owned(), look.materials.len());
                look.materials.push(plain(rest));
                opacities.push(None);
                continue;
            }
            let Some(material) = look.materials.last_mut() else {
                continue;
            };
            let done = match keyword.to_ascii_lowercase().as_str() {
                "map_kd" => images
                    .find(rest, &mut look.images)
                    .map(|i| material.base_color_texture = i),
                "map_bump" | "bump" | "norm" => {
                    images.find(rest, &mut look.images).map(|i| material.normal_texture = i)
                }
                "map_d" => images.find(rest, &mut look.images).map(|i| {
                    if let (Some(i), Some(slot)) = (i, opacities.last_mut()) {
                        *slot = Some(i);
                    }
                }),
                "map_ke" => images
                    .find(rest, &mut look.images)
                    .map(|i| material.emissive_texture = i),
                _ => {
                    factor(material, keyword, rest);
                    Ok(())
                }
            };
            if let Err(fault) = done {
                sink(Chunk::Warning(format!("{library:?}, line {}: {fault}", number + 1)))?;
            }
        }
    }
    for (at, opacity) in opacities.iter().enumerate() {
        if let Some(opacity) = *opacity {
            clear(&mut look, at, opacity);
        }
    }
    Ok((look, names))
}

/// A material with one texture, which a scan names by itself.
pub(super) fn texture(source: &Source, limits: &Limits, name: &str) -> Result<Look, String> {
    let mut look = Look::default();
    let mut images = Images {
        source,
        limits,
        known: BTreeMap::new(),
        pixels: 0,
    };
    let image = images.find(name, &mut look.images)?;
    look.materials.push(Material {
        base_color_texture: image,
        base_color: glam::Vec4::ONE,
        ..plain(name)
    });
    Ok(look)
}

/// Puts an image of opacity into the alpha of a material's colour.
fn clear(look: &mut Look, material: usize, opacity: usize) {
    let opacity = &look.images[opacity];
    let colored = look.materials[material].base_color_texture;
    let mut image = match colored {
        Some(color) => look.images[color].clone(),
        None => Image {
            pixels: vec![255; opacity.pixels.len()],
            ..opacity.clone()
        },
    };
    let buffer = image::RgbaImage::from_raw(opacity.width, opacity.height, opacity.pixels.clone()).unwrap_or_default();
    let filter = image::imageops::FilterType::Triangle;
    let sized = image::imageops::resize(&buffer, image.width, image.height, filter).into_raw();
    let sized = sized.as_chunks::<4>().0;
    // Some write opacity as grey, some as the alpha of any colour.
    let in_alpha = sized.iter().any(|p| p[3] < 255);
    let (mut clear, mut between) = (0_usize, 0_usize);
    for (pixel, from) in image.pixels.as_chunks_mut::<4>().0.iter_mut().zip(sized) {
        pixel[3] = if in_alpha { from[3] } else { from[0] };
        clear += usize::from(pixel[3] < 128);
        between += usize::from((32..224).contains(&pixel[3]));
    }
    // Leaves and fences are there or not; a pane of glass is in between.
    let is_cut = between * 10 <= clear.max(1);
    let material = &mut look.materials[material];
    material.alpha = if is_cut { Alpha::Mask(0.5) } else { Alpha::Blend };
    look.images.push(image);
    material.base_color_texture = Some(look.images.len() - 1);
}

/// A material before its lines are read.
fn plain(name: &str) -> Material {
    Material {
        name: name.to_owned(),
        ..crate::surface::ground::material()
    }
}

fn factor(material: &mut Material, keyword: &str, rest: &str) {
    let values: Vec<f32> = rest
        .split_ascii_whitespace()
        .map_while(|w| w.parse().ok())
        .filter(|v: &f32| v.is_finite())
        .take(3)
        .collect();
    match (keyword, values.as_slice()) {
        ("Kd", &[r, g, b]) => {
            let color = Vec3::new(r, g, b).clamp(Vec3::ZERO, Vec3::ONE);
            material.base_color = color.extend(material.base_color.w);
        }
        ("Ke", &[r, g, b]) => material.emissive = Vec3::new(r, g, b).clamp(Vec3::ZERO, Vec3::ONE),
        ("Pr", &[v]) => material.roughness = v.clamp(0.0, 1.0),
        ("Pm", &[v]) => material.metallic = v.clamp(0.0, 1.0),
        ("d", &[v]) => opacity(material, v),
        ("Tr", &[v]) => opacity(material, 1.0 - v),
        _ => {}
    }
}

fn opacity(material: &mut Material, value: f32) {
    material.base_color.w = value.clamp(0.0, 1.0);
    material.alpha = if value < 0.999 { Alpha::Blend } else { Alpha::Opaque };
}

/// A file that a scan refers to: only a regular file inside the scan's own folder, links resolved.
pub(super) fn beside(source: &Source, name: &str) -> Option<PathBuf> {
    let name = name.trim_matches('"').replace('\\', "/");
    if name.is_empty() || name.len() > 1024 || name.contains('\0') {
        return None;
    }
    let folder = source
        .path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let folder = folder.canonicalize().ok()?;
    let path = folder.join(name).canonicalize().ok()?;
    (path.starts_with(&folder) && path.is_file()).then_some(path)
}

pub(super) fn load(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let io = |source| Error::Io {
        file: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(io)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > most {
        return Err(input(path, "file", format!("has more than {most} bytes")));
    }
    Ok(bytes)
}

/// Textures, each loaded once.
struct Images<'a> {
    source: &'a Source,
    limits: &'a Limits,
    known: BTreeMap<PathBuf, usize>,
    pixels: u64,
}

impl Images<'_> {
    /// The index of the texture that a `map_` line names; its options are skipped.
    fn find(&mut self, rest: &str, images: &mut Vec<Image>) -> Result<Option<usize>, String> {
        // A name may have spaces; options come before it and begin with a minus.
        let whole = beside(self.source, rest);
        let last = || {
            rest.split_ascii_whitespace()
                .next_back()
                .and_then(|n| beside(self.source, n))
        };
        let path = whole.or_else(last);
        let path = path.ok_or_else(|| format!("texture {rest:?} is not a file in the folder of the scan"))?;
        if let Some(&index) = self.known.get(&path) {
            return Ok(Some(index));
        }
        let name = path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let image = self
            .decode(&path, &name)
            .map_err(|fault| format!("texture {name:?}: {fault}"))?;
        images.push(image);
        self.known.insert(path, images.len() - 1);
        Ok(Some(images.len() - 1))
    }

    fn decode(&mut self, path: &Path, name: &str) -> Result<Image, String> {
        let bytes = load(path, IMAGE_BYTES).map_err(|e| e.to_string())?;
        let Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) = image::guess_format(&bytes) else {
            return Err("is neither PNG nor JPEG".into());
        };
        // The size is looked at before any pixel is decoded, so that a few bytes can not ask for gigabytes.
        let probe = image::ImageReader::with_format(Cursor::new(&bytes), format);
        let (width, height) = probe.into_dimensions().map_err(|e| e.to_string())?;
        let pixels = u64::from(width) * u64::from(height);
        let side = self.limits.image_side;
        if width.max(height) > side || self.pixels + pixels > self.limits.pixels {
            return Err(format!(
                "has {width} × {height} pixels; allowed are {side} a side and {} in all",
                self.limits.pixels
            ));
        }
        let mut reader = image::ImageReader::with_format(Cursor::new(&bytes), format);
        let mut bounds = image::Limits::default();
        (bounds.max_image_width, bounds.max_image_height) = (Some(side), Some(side));
        reader.limits(bounds);
        let decoded = reader.decode().map_err(|e| e.to_string())?.into_rgba8();
        self.pixels += pixels;
        Ok(Image {
            name: name.to_owned(),
            width,
            height,
            pixels: decoded.into_raw(),
        })
    }
}
