//! Luma and chroma of pictures on the GPU.

use super::Gpu;
use wgpu::{Extent3d, TextureFormat, TextureUsages};

/// One picture, or several of one size.
#[derive(Debug)]
pub(super) struct Textures {
    luma: wgpu::Texture,
    chroma: wgpu::Texture,
    size: (u32, u32),
}

impl Textures {
    pub(super) fn new(gpu: &Gpu, (width, height): (u32, u32), layers: u32) -> Self {
        Self {
            luma: texture(gpu, "luma", (width, height, layers), TextureFormat::R8Unorm),
            chroma: texture(gpu, "chroma", (width / 2, height / 2, layers), TextureFormat::Rg8Unorm),
            size: (width, height),
        }
    }

    pub(super) const fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Luma, chroma; as arrays or the first of each.
    pub(super) fn views(&self, is_array: bool) -> [wgpu::TextureView; 2] {
        [view(&self.luma, is_array), view(&self.chroma, is_array)]
    }

    /// `nv12` has the size of the picture.
    pub(super) fn write(&self, gpu: &Gpu, layer: u32, nv12: &[u8]) {
        let (width, height) = self.size;
        let (luma, chroma) = nv12.split_at(width as usize * height as usize);
        write(gpu, &self.luma, layer, luma, (width, height), width);
        write(gpu, &self.chroma, layer, chroma, (width / 2, height / 2), width);
    }
}

pub(super) fn view(texture: &wgpu::Texture, is_array: bool) -> wgpu::TextureView {
    texture.create_view(&wgpu::TextureViewDescriptor {
        dimension: Some(if is_array {
            wgpu::TextureViewDimension::D2Array
        } else {
            wgpu::TextureViewDimension::D2
        }),
        ..wgpu::TextureViewDescriptor::default()
    })
}

pub(super) fn texture(
    gpu: &Gpu,
    label: &str,
    (width, height, layers): (u32, u32, u32),
    format: TextureFormat,
) -> wgpu::Texture {
    gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: Extent3d {
            width,
            height,
            depth_or_array_layers: layers,
        },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: TextureUsages::TEXTURE_BINDING | TextureUsages::COPY_DST,
        view_formats: &[],
    })
}

pub(super) fn write(gpu: &Gpu, to: &wgpu::Texture, layer: u32, bytes: &[u8], (width, height): (u32, u32), row: u32) {
    gpu.queue.write_texture(
        wgpu::TexelCopyTextureInfo {
            texture: to,
            mip_level: 0,
            origin: wgpu::Origin3d { x: 0, y: 0, z: layer },
            aspect: wgpu::TextureAspect::All,
        },
        bytes,
        wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(row),
            rows_per_image: Some(height),
        },
        Extent3d {
            width,
            height,
            depth_or_array_layers: 1,
        },
    );
}
