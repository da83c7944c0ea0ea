//! Where a vantage is drawn: visibility targets and pictures of a shape, shared by all vantages of it, and readback
//! buffers.

use glam::UVec2;
use wgpu::{
    Buffer, BufferDescriptor, BufferUsages, CommandEncoder, Extent3d, Texture, TextureDescriptor, TextureDimension,
    TextureFormat, TextureUsages, TextureView, TextureViewDescriptor,
};

use super::device::Gpu;
use super::pipelines::{DEPTH, SAMPLES, VISIBILITY};
use crate::View;
use crate::nv12::nv12_len;
use crate::plan::VantagePlan;

/// What makes vantages use the same targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Visibility of a view.
    raster: UVec2,
    /// The most depths that a frame has.
    depths: usize,
    /// Depth is written with colour, pixel by pixel, whether it is read or not.
    even: bool,
}

impl Shape {
    pub(crate) fn of(vantage: &VantagePlan) -> Self {
        let views = || vantage.views.iter().map(|v| &v.view);
        Self {
            width: vantage.width,
            height: vantage.height,
            raster: views().map(|v| v.raster).fold(UVec2::ONE, UVec2::max),
            depths: views().map(View::depth_len).sum(),
            even: !views().any(View::is_undivided),
        }
    }
}

/// Targets of one shape. Vantages of one submission use them one after the other.
pub(crate) struct Target {
    /// One for each view that a submission drew. Each view has a target of its own: placed elsewhere in a larger one its
    /// edges would be rounded otherwise, and a driver clears and stores all of it.
    pub(crate) visibility: Vec<TextureView>,
    /// For one view after the other.
    pub(crate) depth: Option<TextureView>,
    pub(crate) nv12: Buffer,
    pub(crate) depths: Buffer,
    /// Buffers that no frame in flight uses.
    free: Vec<Readback>,
    shape: Shape,
}

/// Where one frame is copied to, for the CPU to read.
pub(crate) struct Readback {
    pub(crate) nv12: Buffer,
    pub(crate) depths: Buffer,
}

impl Target {
    pub(crate) fn new(gpu: &Gpu, shape: Shape) -> Self {
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let (width, height) = (shape.width, shape.height);
        let written = if shape.even {
            width as usize * height as usize
        } else {
            0
        };
        Self {
            visibility: Vec::new(),
            depth: None,
            nv12: buffer(gpu, nv12_len(width, height), storage),
            depths: buffer(gpu, written.max(shape.depths) * 2, storage),
            free: Vec::new(),
            shape,
        }
    }

    /// Sees to it that there are targets for so many views.
    pub(crate) fn provide(&mut self, gpu: &Gpu, views: usize) {
        let size = self.shape.raster;
        let usage = TextureUsages::RENDER_ATTACHMENT | TextureUsages::TEXTURE_BINDING;
        while self.visibility.len() < views {
            let visibility = texture(gpu, size.x, size.y, VISIBILITY, usage);
            self.visibility.push(view(&visibility));
        }
        self.depth.get_or_insert_with(|| {
            let depth = texture(gpu, size.x, size.y, DEPTH, TextureUsages::RENDER_ATTACHMENT);
            view(&depth)
        });
    }

    /// Copies the picture that was just drawn, and so many bytes of depth, into buffers of its own.
    pub(crate) fn read_back(&mut self, gpu: &Gpu, encoder: &mut CommandEncoder, depth_bytes: u64) -> Readback {
        let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
        let shape = self.shape;
        let readback = self.free.pop().unwrap_or_else(|| Readback {
            nv12: buffer(gpu, nv12_len(shape.width, shape.height), usage),
            depths: buffer(gpu, shape.depths.max(2) * 2, usage),
        });
        encoder.copy_buffer_to_buffer(&self.nv12, 0, &readback.nv12, 0, self.nv12.size());
        if depth_bytes > 0 {
            encoder.copy_buffer_to_buffer(&self.depths, 0, &readback.depths, 0, depth_bytes);
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
