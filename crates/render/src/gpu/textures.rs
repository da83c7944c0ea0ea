//! All images of a scene in a few array textures, one per size class, once as colours and once as data.

use tongyou_scene::{Image, Scene};
use wgpu::util::{DeviceExt, TextureDataOrder};
use wgpu::{TextureDescriptor, TextureDimension, TextureFormat, TextureUsages, TextureViewDimension};

use super::device::Gpu;
use super::layout::NO_TEXTURE;
use super::mips;
use crate::prepare::too_large;
use crate::{Error, Result};

/// Size classes: the largest side, and so many halvings below it.
const HALVINGS: [u32; CLASSES] = [4, 2, 1, 0];
/// How many size classes there are; the shaders have as many bindings for each kind.
pub(crate) const CLASSES: usize = 4;

/// The array textures of a scene.
pub(crate) struct Textures {
    pub(crate) colors: [wgpu::TextureView; CLASSES],
    pub(crate) data: [wgpu::TextureView; CLASSES],
    /// For each image, its reference as colour and as data.
    refs: Vec<(u32, u32)>,
}

/// Images of one kind, by size class.
struct Layers {
    images: [Vec<usize>; CLASSES],
    refs: Vec<u32>,
}

impl Textures {
    pub(crate) fn new(gpu: &Gpu, scene: &Scene, largest: u32) -> Result<Self> {
        let (mut color, mut data) = (vec![false; scene.images.len()], vec![false; scene.images.len()]);
        for m in &scene.materials {
            for i in [m.base_color_texture, m.emissive_texture].into_iter().flatten() {
                color[i] = true;
            }
            for i in [m.metallic_roughness_texture, m.normal_texture].into_iter().flatten() {
                data[i] = true;
            }
        }
        for image in &scene.images {
            check(scene, image)?;
        }
        let colors = Layers::assign(scene, &color, largest);
        let data = Layers::assign(scene, &data, largest);
        let limit = gpu.device.limits().max_texture_array_layers as usize;
        let most = colors
            .images
            .iter()
            .chain(&data.images)
            .map(Vec::len)
            .max()
            .unwrap_or(0);
        if most > limit {
            return Err(too_large(scene, "images of one size class", most, limit));
        }
        let refs = colors.refs.iter().copied().zip(data.refs.iter().copied()).collect();
        let view = |layers: &Layers, class: usize, format: TextureFormat| {
            upload(gpu, scene, &layers.images[class], largest >> HALVINGS[class], format)
        };
        Ok(Self {
            colors: std::array::from_fn(|c| view(&colors, c, TextureFormat::Rgba8UnormSrgb)),
            data: std::array::from_fn(|c| view(&data, c, TextureFormat::Rgba8Unorm)),
            refs,
        })
    }

    pub(crate) fn color(&self, image: Option<usize>) -> u32 {
        image.map_or(NO_TEXTURE, |i| self.refs[i].0)
    }

    pub(crate) fn data(&self, image: Option<usize>) -> u32 {
        image.map_or(NO_TEXTURE, |i| self.refs[i].1)
    }
}

impl Layers {
    fn assign(scene: &Scene, used: &[bool], largest: u32) -> Self {
        let mut layers = Self {
            images: std::array::from_fn(|_| Vec::new()),
            refs: vec![NO_TEXTURE; used.len()],
        };
        for (i, image) in scene.images.iter().enumerate().filter(|(i, _)| used[*i]) {
            let side = image.width.max(image.height);
            let class = (0..CLASSES)
                .find(|c| side <= largest >> HALVINGS[*c])
                .unwrap_or(CLASSES - 1);
            let layer = layers.images[class].len();
            layers.images[class].push(i);
            layers.refs[i] = u32::try_from(class << 16 | layer).unwrap_or(NO_TEXTURE);
        }
        layers
    }
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
    // A binding needs a texture even where no image is of its class.
    let side = if images.is_empty() { 1 } else { side };
    let srgb = format == TextureFormat::Rgba8UnormSrgb;
    let mut bytes = Vec::new();
    for &i in images {
        mips::append_chain(&mut bytes, &scene.images[i], side, srgb);
    }
    if images.is_empty() {
        bytes.extend([255; 4]);
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
