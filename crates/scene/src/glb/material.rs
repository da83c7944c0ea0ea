//! Materials, images and lights.

use std::io::Cursor;

use glam::{Vec3, Vec4};
use gltf::json;
use image::ImageFormat;
use json::Index;
use json::extensions::scene::khr_lights_punctual as punctual;
use json::material::AlphaMode;

use super::{Source, ktx2, label};
use crate::{Alpha, Error, Image, Light, LightKind, Material};

impl Source<'_> {
    pub(super) fn materials(&self) -> Result<Vec<Material>, Error> {
        let each = self.root.materials.iter().enumerate();
        each.map(|(index, material)| self.material(material, &label("material", index, material.name.as_ref())))
            .collect()
    }

    fn material(&self, material: &json::Material, place: &str) -> Result<Material, Error> {
        let pbr = &material.pbr_metallic_roughness;
        let info = |texture: &Option<json::texture::Info>, name: &str| match texture {
            Some(t) => self.texture(t.index, t.tex_coord, place, name).map(Some),
            None => Ok(None),
        };
        let normal = match &material.normal_texture {
            Some(t) => Some(self.texture(t.index, t.tex_coord, place, "normalTexture")?),
            None => None,
        };
        let extensions = material.extensions.as_ref();
        let strength = extensions
            .and_then(|e| e.emissive_strength.as_ref())
            .map_or(1.0, |s| s.emissive_strength.0);
        let cutoff = material.alpha_cutoff.map_or(0.5, |c| c.0);
        let out = Material {
            name: material.name.clone().unwrap_or_default(),
            base_color: Vec4::from(pbr.base_color_factor.0),
            base_color_texture: info(&pbr.base_color_texture, "baseColorTexture")?,
            metallic: pbr.metallic_factor.0,
            roughness: pbr.roughness_factor.0,
            metallic_roughness_texture: info(&pbr.metallic_roughness_texture, "metallicRoughnessTexture")?,
            normal_texture: normal,
            normal_scale: material.normal_texture.as_ref().map_or(1.0, |t| t.scale),
            emissive: Vec3::from(material.emissive_factor.0) * strength,
            emissive_texture: info(&material.emissive_texture, "emissiveTexture")?,
            alpha: match self.valid(&material.alpha_mode, place, "alphaMode")? {
                AlphaMode::Opaque => Alpha::Opaque,
                AlphaMode::Mask => Alpha::Mask(cutoff),
                AlphaMode::Blend => Alpha::Blend,
            },
            double_sided: material.double_sided,
            unlit: extensions.is_some_and(|e| e.unlit.is_some()),
        };
        let unit = [
            out.base_color.x,
            out.base_color.y,
            out.base_color.z,
            out.base_color.w,
            out.metallic,
            out.roughness,
        ];
        if !unit.iter().chain([&cutoff]).all(|v| (0.0..=1.0).contains(v)) {
            return Err(self.fault(place, "a factor is not between 0 and 1"));
        }
        if !out.emissive.is_finite() || out.emissive.min_element() < 0.0 || !out.normal_scale.is_finite() {
            return Err(self.fault(place, "emission or normal scale is negative or not finite"));
        }
        Ok(out)
    }

    fn texture(&self, texture: Index<json::Texture>, set: u32, place: &str, name: &str) -> Result<usize, Error> {
        let place = format!("{place}, {name}");
        if set != 0 {
            return Err(self.fault(place, format!("uses texCoord {set}, only 0 is supported")));
        }
        let texture = self.get(&self.root.textures, texture.value(), &place, "texture")?;
        let basis = texture
            .extensions
            .as_ref()
            .and_then(|e| e.others.get("KHR_texture_basisu"));
        let image = match basis {
            Some(basis) => {
                let image = basis.get("source").and_then(json::Value::as_u64);
                let image = image.and_then(|i| usize::try_from(i).ok());
                image.ok_or_else(|| self.fault(&place, "KHR_texture_basisu has no source"))?
            }
            None => texture.source.value(),
        };
        self.get(&self.root.images, image, &place, "image")?;
        Ok(image)
    }

    pub(super) fn images(&mut self) -> Result<Vec<Image>, Error> {
        let root = self.root;
        let mut images = Vec::new();
        for (index, image) in root.images.iter().enumerate() {
            let place = label("image", index, image.name.as_ref());
            let owned;
            let bytes = match (image.buffer_view, &image.uri) {
                (Some(view), None) => self.view(view.value(), &place)?.0,
                (None, Some(uri)) => {
                    owned = self.beside(uri, &place)?;
                    owned.as_slice()
                }
                _ => return Err(self.fault(place, "needs either a bufferView or a uri")),
            };
            let decoded = self.decode(bytes, &place, image.name.clone().unwrap_or_default())?;
            self.spent.pixels += u64::from(decoded.width) * u64::from(decoded.height);
            images.push(decoded);
        }
        Ok(images)
    }

    fn decode(&self, bytes: &[u8], place: &str, name: String) -> Result<Image, Error> {
        if ktx2::is_ktx2(bytes) {
            return self.ktx2(bytes, place, name);
        }
        let Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) = image::guess_format(bytes) else {
            return Err(self.fault(place, "is neither PNG nor JPEG nor KTX2"));
        };
        let failed = |e: image::ImageError| self.fault(place, e.to_string());
        // The size is looked at before any pixel is decoded, so that a few bytes can not ask for gigabytes.
        let probe = image::ImageReader::with_format(Cursor::new(bytes), format);
        let (width, height) = probe.into_dimensions().map_err(failed)?;
        self.image_size(place, width, height)?;
        let mut reader = image::ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = image::Limits::default();
        limits.max_image_width = Some(self.limits.image_side);
        limits.max_image_height = Some(self.limits.image_side);
        reader.limits(limits);
        let decoded = reader.decode().map_err(failed)?.into_rgba8();
        if decoded.width() == 0 || decoded.height() == 0 {
            return Err(self.fault(place, "has no pixels"));
        }
        Ok(Image {
            name,
            width: decoded.width(),
            height: decoded.height(),
            pixels: decoded.into_raw(),
        })
    }

    /// Whether an image of this size may still be decoded.
    pub(super) fn image_size(&self, place: &str, width: u32, height: u32) -> Result<(), Error> {
        let (longest, side) = (u64::from(width.max(height)), u64::from(self.limits.image_side));
        self.within(place, "pixels on a side", longest, side)?;
        let pixels = self.spent.pixels + u64::from(width) * u64::from(height);
        self.within(place, "pixels", pixels, self.limits.pixels)
    }

    pub(super) fn lights(&self) -> Result<Vec<Light>, Error> {
        let list = self
            .root
            .extensions
            .as_ref()
            .and_then(|e| e.khr_lights_punctual.as_ref());
        let list = list.map_or(&[][..], |l| &l.lights);
        self.within("KHR_lights_punctual", "lights", list.len() as u64, self.limits.lights)?;
        list.iter()
            .enumerate()
            .map(|(i, l)| self.light(l, &label("light", i, l.name.as_ref())))
            .collect()
    }

    fn light(&self, light: &punctual::Light, place: &str) -> Result<Light, Error> {
        let kind = match (self.valid(&light.type_, place, "type")?, &light.spot) {
            (punctual::Type::Directional, _) => LightKind::Directional,
            (punctual::Type::Point, _) => LightKind::Point,
            (punctual::Type::Spot, Some(spot)) => LightKind::Spot {
                inner_rad: spot.inner_cone_angle,
                outer_rad: spot.outer_cone_angle,
            },
            (punctual::Type::Spot, None) => return Err(self.fault(place, "is a spot without spot parameters")),
        };
        if let LightKind::Spot { inner_rad, outer_rad } = kind
            && !(inner_rad >= 0.0 && inner_rad < outer_rad && outer_rad <= std::f32::consts::FRAC_PI_2)
        {
            return Err(self.fault(
                place,
                format!("cone angles {inner_rad} and {outer_rad} are out of order or range"),
            ));
        }
        let color = Vec3::from(light.color);
        let sane = |v: f32| v.is_finite() && v >= 0.0;
        if !(sane(color.x) && sane(color.y) && sane(color.z) && sane(light.intensity)) {
            return Err(self.fault(place, "colour or intensity is negative or not finite"));
        }
        if light.range.is_some_and(|r| !r.is_finite() || r <= 0.0) {
            return Err(self.fault(place, "range is not a positive number"));
        }
        Ok(Light {
            kind,
            color,
            intensity: light.intensity,
            range_m: light.range,
        })
    }
}
