//! Where a vantage is drawn: the visibility target of a size, shared by all vantages of it, and readback buffers.

use wgpu::{
    Buffer, BufferDescriptor, BufferUsages, CommandEncoder, Extent3d, Texture, TextureDescriptor, TextureDimension,
    TextureFormat, TextureUsages, TextureView, TextureViewDescriptor,
};

use super::device::Gpu;
use super::pipelines::{DEPTH, SAMPLES, VISIBILITY};
use crate::nv12::nv12_len;

/// Targets of one size. Vantages of one submission use them one after the other.
pub(crate) struct Target {
    pub(crate) visibility: TextureView,
    pub(crate) depth: TextureView,
    pub(crate) nv12: Buffer,
    pub(crate) depths: Buffer,
    /// Buffers that no frame in flight uses.
    free: Vec<Readback>,
    width: u32,
    height: u32,
}

/// Where one frame is copied to, for the CPU to read.
pub(crate) struct Readback {
    pub(crate) nv12: Buffer,
    pub(crate) depths: Buffer,
}

impl Target {
    pub(crate) fn new(gpu: &Gpu, width: u32, height: u32) -> Self {
        let usage = TextureUsages::RENDER_ATTACHMENT | TextureUsages::TEXTURE_BINDING;
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        Self {
            visibility: view(&texture(gpu, width, height, VISIBILITY, usage)),
            depth: view(&texture(gpu, width, height, DEPTH, TextureUsages::RENDER_ATTACHMENT)),
            nv12: buffer(gpu, nv12_len(width, height), storage),
            depths: buffer(gpu, width as usize * height as usize * 2, storage),
            free: Vec::new(),
            width,
            height,
        }
    }

    /// Copies the picture that was just drawn into a buffer of its own.
    pub(crate) fn read_back(&mut self, gpu: &Gpu, encoder: &mut CommandEncoder, depth: bool) -> Readback {
        let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
        let (width, height) = (self.width, self.height);
        let readback = self.free.pop().unwrap_or_else(|| Readback {
            nv12: buffer(gpu, nv12_len(width, height), usage),
            depths: buffer(gpu, width as usize * height as usize * 2, usage),
        });
        encoder.copy_buffer_to_buffer(&self.nv12, 0, &readback.nv12, 0, self.nv12.size());
        if depth {
            encoder.copy_buffer_to_buffer(&self.depths, 0, &readback.depths, 0, self.depths.size());
        }
        readback
    }

    /// Takes buffers back once they are unmapped.
    pub(crate) fn give_back(&mut self, readback: Readback) {
        self.free.push(readback);
    }
}

fn buffer(gpu: &Gpu, size: usize, usage: BufferUsages) -> Buffer {
    gpu.device.create_buffer(&BufferDescriptor {
        label: Some("picture"),
        size: size as u64,
        usage,
        mapped_at_creation: false,
    })
}

fn texture(gpu: &Gpu, width: u32, height: u32, format: TextureFormat, usage: TextureUsages) -> Texture {
    gpu.device.create_texture(&TextureDescriptor {
        label: Some("visibility"),
        size: Extent3d {
            width,
            height,
            depth_or_array_layers: 1,
        },
        mip_level_count: 1,
        sample_count: SAMPLES,
        dimension: TextureDimension::D2,
        format,
        usage,
        view_formats: &[],
    })
}

fn view(texture: &Texture) -> TextureView {
    texture.create_view(&TextureViewDescriptor::default())
}
