//! Textures of local models, with their smaller copies, and the materials that refer to them.

use super::super::Gpu;
use super::super::pipelines::{self, entry, texture, uniform};
use super::super::textures;
use super::{filled, surface_of};
use std::collections::BTreeMap;
use tongyou_scene::{Image, Material, Scene};
use wgpu::{
    BindGroupLayout, BindingType, BufferUsages, SamplerBindingType, TextureFormat, TextureSampleType, TextureUsages,
    TextureViewDimension,
};

/// What the numbers of an image are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// sRGB.
    Color,
    Vector,
}

/// Images of a scene on the GPU, each once for each use.
pub(super) struct Pictures<'a> {
    scene: &'a Scene,
    sun: &'a wgpu::Buffer,
    layout: BindGroupLayout,
    sampler: wgpu::Sampler,
    white: wgpu::TextureView,
    made: BTreeMap<(usize, Use), wgpu::TextureView>,
}

/// Of group 2, with the light: lavapipe of Mesa 22.3 crashes at a uniform in a fourth group.
pub(super) fn layout(gpu: &Gpu) -> BindGroupLayout {
    let picture = |binding| {
        texture(
            binding,
            TextureSampleType::Float { filterable: true },
            TextureViewDimension::D2,
        )
    };
    let entries = [
        uniform(0),
        entry(1, BindingType::Sampler(SamplerBindingType::Filtering)),
        picture(2),
        picture(3),
        picture(4),
        uniform(5),
    ];
    pipelines::layout(gpu, "local material", &entries)
}

impl<'a> Pictures<'a> {
    pub(super) fn new(gpu: &Gpu, scene: &'a Scene, sun: &'a wgpu::Buffer) -> Self {
        let white = Image {
            name: "white".to_owned(),
            width: 1,
            height: 1,
            pixels: vec![255; 4],
        };
        Self {
            scene,
            sun,
            layout: layout(gpu),
            sampler: gpu.device.create_sampler(&wgpu::SamplerDescriptor {
                label: Some("wrapped"),
                address_mode_u: wgpu::AddressMode::Repeat,
                address_mode_v: wgpu::AddressMode::Repeat,
                mag_filter: wgpu::FilterMode::Linear,
                min_filter: wgpu::FilterMode::Linear,
                mipmap_filter: wgpu::MipmapFilterMode::Linear,
                ..wgpu::SamplerDescriptor::default()
            }),
            white: upload(gpu, &white, Use::Vector),
            made: BTreeMap::new(),
        }
    }

    pub(super) fn material(&mut self, gpu: &Gpu, material: &Material) -> wgpu::BindGroup {
        let surface = filled(
            gpu,
            "surface",
            bytemuck::bytes_of(&surface_of(material)),
            BufferUsages::UNIFORM,
        );
        let base = self.view(gpu, material.base_color_texture, Use::Color);
        let glow = self.view(gpu, material.emissive_texture, Use::Color);
        let normal = self.view(gpu, material.normal_texture, Use::Vector);
        let resources = [
            surface.as_entire_binding(),
            wgpu::BindingResource::Sampler(&self.sampler),
            wgpu::BindingResource::TextureView(&base),
            wgpu::BindingResource::TextureView(&glow),
            wgpu::BindingResource::TextureView(&normal),
            self.sun.as_entire_binding(),
        ];
        let entries: Vec<_> = (0..)
            .zip(resources)
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("local material"),
            layout: &self.layout,
            entries: &entries,
        })
    }

    fn view(&mut self, gpu: &Gpu, image: Option<usize>, what: Use) -> wgpu::TextureView {
        let Some((number, image)) = image.and_then(|i| Some((i, self.scene.images.get(i)?))) else {
            return self.white.clone();
        };
        let made = self.made.entry((number, what));
        made.or_insert_with(|| upload(gpu, image, what)).clone()
    }
}

fn upload(gpu: &Gpu, image: &Image, what: Use) -> wgpu::TextureView {
    let levels = image.width.max(image.height).max(1).ilog2() + 1;
    let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: Some(&image.name),
        size: wgpu::Extent3d {
            width: image.width,
            height: image.height,
            depth_or_array_layers: 1,
        },
        mip_level_count: levels,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: match what {
            Use::Color => TextureFormat::Rgba8UnormSrgb,
            Use::Vector => TextureFormat::Rgba8Unorm,
        },
        usage: TextureUsages::TEXTURE_BINDING | TextureUsages::COPY_DST,
        view_formats: &[],
    });
    let (mut width, mut height) = (image.width, image.height);
    let mut pixels = image.pixels.clone();
    for level in 0..levels {
        if level > 0 {
            (pixels, width, height) = halve(&pixels, width, height, what);
        }
        gpu.queue.write_texture(
            wgpu::TexelCopyTextureInfo {
                mip_level: level,
                ..texture.as_image_copy()
            },
            &pixels,
            wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(4 * width),
                rows_per_image: Some(height),
            },
            wgpu::Extent3d {
                width,
                height,
                depth_or_array_layers: 1,
            },
        );
    }
    textures::view(&texture, false)
}

/// Half as wide and high: means of four pixels, of light where they are colours.
fn halve(pixels: &[u8], width: u32, height: u32, what: Use) -> (Vec<u8>, u32, u32) {
    let (to_width, to_height) = ((width / 2).max(1), (height / 2).max(1));
    let mut to = Vec::with_capacity(4 * to_width as usize * to_height as usize);
    let value = |c: u8, channel: usize| match (what, channel) {
        (Use::Color, 0..3) => super::super::figures::linear([c; 3]).x,
        _ => f32::from(c) / 255.0,
    };
    for y in 0..to_height {
        for x in 0..to_width {
            for channel in 0..4 {
                let mut sum = 0.0;
                for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let (fx, fy) = ((2 * x + dx).min(width - 1), (2 * y + dy).min(height - 1));
                    let at = 4 * (fy as usize * width as usize + fx as usize) + channel;
                    sum += value(pixels[at], channel);
                }
                let mean = 0.25 * sum;
                let coded = match (what, channel) {
                    (Use::Color, 0..3) if mean <= 0.003_130_8 => mean * 12.92,
                    (Use::Color, 0..3) => 1.055 * mean.powf(1.0 / 2.4) - 0.055,
                    _ => mean,
                };
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
                to.push((coded * 255.0).round() as u8);
            }
        }
    }
    (to, to_width, to_height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_copy_is_as_bright() {
        // A white pixel among three black ones gives a quarter of its light, not of its code.
        let mut pixels = vec![0; 2 * 2 * 4];
        pixels[..4].copy_from_slice(&[255; 4]);
        assert_eq!(halve(&pixels, 2, 2, Use::Color), (vec![137, 137, 137, 64], 1, 1));
        assert_eq!(halve(&pixels, 2, 2, Use::Vector), (vec![64; 4], 1, 1));
        // Odd and narrow pictures have smaller copies too.
        assert_eq!(halve(&[9; 3 * 4], 3, 1, Use::Color), (vec![9; 4], 1, 1));
    }
}
