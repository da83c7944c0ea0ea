//! All images of a scene in two array textures, one of colours and one of data.

use tongyou_scene::{Image, Scene};
use wgpu::util::{DeviceExt, TextureDataOrder};
use wgpu::{TextureDescriptor, TextureDimension, TextureFormat, TextureUsages, TextureViewDimension};

use super::device::Gpu;
use super::layout::NO_TEXTURE;
use super::mips;
use crate::prepare::too_large;
use crate::{Error, Result};

/// A scene's images take at most this many bytes of one kind; beyond it all are halved.
const BUDGET_BYTES: u64 = 512 << 20;
/// The smallest side that the budget may lead to.
const SMALLEST: u32 = 64;

/// The two array textures of a scene.
pub(crate) struct Textures {
    pub(crate) colors: wgpu::TextureView,
    pub(crate) data: wgpu::TextureView,
    /// For each image, its layer as colour and as data.
    color_layers: Vec<u32>,
    data_layers: Vec<u32>,
}

impl Textures {
    pub(crate) fn new(gpu: &Gpu, scene: &Scene, largest: u32) -> Result<Self> {
        for image in &scene.images {
            check(scene, image)?;
        }
        let colors = scene
            .materials
            .iter()
            .flat_map(|m| [m.base_color_texture, m.emissive_texture]);
        let data = scene
            .materials
            .iter()
            .flat_map(|m| [m.metallic_roughness_texture, m.normal_texture]);
        let (colors, color_layers) = layers(scene, colors);
        let (data, data_layers) = layers(scene, data);
        let limit = gpu.device.limits().max_texture_array_layers as usize;
        let most = colors.len().max(data.len());
        if most > limit {
            return Err(too_large(scene, "images", most, limit));
        }
        // One size for all: a shader that picks among several arrays samples each of them on a software driver.
        let widest = colors
            .iter()
            .chain(&data)
            .map(|&i| scene.images[i].width.max(scene.images[i].height))
            .max();
        let mut side = widest.unwrap_or(1).next_power_of_two().min(largest);
        while side > SMALLEST && u64::from(side) * u64::from(side) * 16 / 3 * most as u64 > BUDGET_BYTES {
            side /= 2;
        }
        Ok(Self {
            colors: upload(gpu, scene, &colors, side, TextureFormat::Rgba8UnormSrgb),
            data: upload(gpu, scene, &data, side, TextureFormat::Rgba8Unorm),
            color_layers,
            data_layers,
        })
    }

    pub(crate) fn color(&self, image: Option<usize>) -> u32 {
        image.map_or(NO_TEXTURE, |i| self.color_layers[i])
    }

    pub(crate) fn data(&self, image: Option<usize>) -> u32 {
        image.map_or(NO_TEXTURE, |i| self.data_layers[i])
    }
}

/// The images in use, in order, and each image's place among them.
fn layers(scene: &Scene, uses: impl Iterator<Item = Option<usize>>) -> (Vec<usize>, Vec<u32>) {
    let mut used = vec![false; scene.images.len()];
    uses.flatten().for_each(|i| used[i] = true);
    let images: Vec<usize> = (0..used.len()).filter(|i| used[*i]).collect();
    let mut layers = vec![NO_TEXTURE; used.len()];
    for (layer, &image) in (0u32..).zip(&images) {
        layers[image] = layer;
    }
    (images, layers)
}

fn check(scene: &Scene, image: &Image) -> Result<()> {
    let needed = image.width as usize * image.height as usize * 4;
    if needed == 0 || needed != image.pixels.len() {
        return Err(Error::DanglingIndex {
            scene: scene.name.clone(),
            what: format!("image {} of {} x {}", image.name, image.width, image.height),
            target: "byte",
            index: needed,
            count: image.pixels.len(),
        });
    }
    Ok(())
}

fn upload(gpu: &Gpu, scene: &Scene, images: &[usize], side: u32, format: TextureFormat) -> wgpu::TextureView {
    let srgb = format == TextureFormat::Rgba8UnormSrgb;
    let mut bytes = Vec::new();
    for &i in images {
        mips::append_chain(&mut bytes, &scene.images[i], side, srgb);
    }
    if images.is_empty() {
        // A binding needs a texture even where there are no images.
        bytes.resize((0..=side.ilog2()).map(|l| 4 << (2 * l)).sum(), 255);
    }
    let texture = gpu.device.create_texture_with_data(
        &gpu.queue,
        &TextureDescriptor {
            label: Some("images"),
            size: wgpu::Extent3d {
                width: side,
                height: side,
                depth_or_array_layers: u32::try_from(images.len().max(1)).unwrap_or(u32::MAX),
            },
            mip_level_count: side.ilog2() + 1,
            sample_count: 1,
            dimension: TextureDimension::D2,
            format,
            usage: TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        },
        TextureDataOrder::LayerMajor,
        &bytes,
    );
    texture.create_view(&wgpu::TextureViewDescriptor {
        dimension: Some(TextureViewDimension::D2Array),
        ..wgpu::TextureViewDescriptor::default()
    })
}
