//! What is kept of a vantage from set to set.

use bytemuck::{bytes_of, cast_slice};
use wgpu::{BindGroup, Buffer, BufferBinding, BufferDescriptor, BufferUsages};

use super::device::Gpu;
use super::layout::{Frame, Work};
use super::pictures::Drawn;
use super::pipelines::{Pipelines, group};
use crate::behind::TileMask;

/// A view's part of a buffer begins at a multiple of this: the most that a device may ask for.
const ALIGNMENT: usize = 256;

/// The buffers of one vantage.
pub(crate) struct Vantage {
    pub(crate) uniform: Buffer,
    pub(crate) group: BindGroup,
    /// `Work` of each view that is drawn.
    work: Buffer,
    work_at: Vec<(usize, usize)>,
    /// The cuts of the mask with this key.
    cuts: Option<(u64, Buffer)>,
    masked: bool,
    pub(crate) last_used: u64,
}

impl Vantage {
    pub(crate) fn new(gpu: &Gpu, pipelines: &Pipelines) -> Self {
        let uniform = gpu.device.create_buffer(&BufferDescriptor {
            label: Some("frame"),
            size: size_of::<Frame>() as u64,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let group = group(gpu, "frame", &pipelines.frame_layout, vec![uniform.as_entire_binding()]);
        Self {
            uniform,
            group,
            work: storage(gpu, 6 * 4096),
            work_at: Vec::new(),
            cuts: None,
            masked: false,
            last_used: 0,
        }
    }

    /// Uploads what is to be drawn, and the cuts of a mask that is another than before.
    pub(crate) fn prepare(&mut self, gpu: &Gpu, drawn: &[Drawn], mask: Option<&TileMask>) {
        let mut bytes = Vec::new();
        self.work_at.clear();
        for (slot, d) in (0u32..).zip(drawn) {
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
            let from = bytes.len();
            let work = Work {
                view: slot,
                depth_side: d.view.depth.x,
                unused: [0; 2],
            };
            bytes.extend(bytes_of(&work));
            let tiles = d.tiles.areas().map(|a| a.origin.x | a.origin.y << 16);
            bytes.extend(tiles.flat_map(u32::to_le_bytes));
            self.work_at.push((from, bytes.len() - from));
        }
        if self.work.size() < bytes.len() as u64 {
            self.work = storage(gpu, bytes.len().next_power_of_two());
        }
        gpu.queue.write_buffer(&self.work, 0, &bytes);
        self.masked = mask.is_some();
        if let Some(mask) = mask
            && self.cuts.as_ref().is_none_or(|(key, _)| *key != mask.key())
        {
            let all = cast_slice(mask.all_cuts());
            let buffer = match self.cuts.take() {
                Some((_, buffer)) if buffer.size() == all.len() as u64 => buffer,
                _ => storage(gpu, all.len()),
            };
            gpu.queue.write_buffer(&buffer, 0, all);
            self.cuts = Some((mask.key(), buffer));
        }
    }

    /// The `Work` of one of the views that are drawn.
    pub(crate) fn work(&self, slot: usize) -> Option<BufferBinding<'_>> {
        let (from, len) = *self.work_at.get(slot)?;
        Some(part(&self.work, from, len))
    }

    /// The cuts of a face, where the vantage has a mask.
    pub(crate) fn cuts(&self, gpu: &Gpu, pipelines: &Pipelines, face: usize) -> Option<BindGroup> {
        let (_, buffer) = self.cuts.as_ref().filter(|_| self.masked)?;
        let len = usize::try_from(buffer.size()).ok()? / 6;
        let binding = wgpu::BindingResource::Buffer(part(buffer, face * len, len));
        Some(group(gpu, "cuts", &pipelines.cuts_layout, vec![binding]))
    }
}

fn part(buffer: &Buffer, from: usize, len: usize) -> BufferBinding<'_> {
    BufferBinding {
        buffer,
        offset: from as u64,
        size: std::num::NonZeroU64::new(len as u64),
    }
}

fn storage(gpu: &Gpu, bytes: usize) -> Buffer {
    gpu.device.create_buffer(&BufferDescriptor {
        label: Some("vantage"),
        size: bytes as u64,
        usage: BufferUsages::STORAGE | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}
