//! Draws layers for an eye.

use super::figures::{Painter, Things};
use super::layer::Placed;
use super::layout;
use super::pipelines::{DEPTH, Pipelines};
use super::{Error, Eye, Gpu, Layer, Result, Set};
use glam::{Quat, Vec2, Vec3};
use wgpu::{BufferUsages, TextureFormat, TextureUsages};

/// Behind everything: what is seen before the first set. Display values, alpha 0: nothing was drawn there.
const NOTHING: wgpu::Color = wgpu::Color {
    r: 13.0 / 255.0,
    g: 18.0 / 255.0,
    b: 32.0 / 255.0,
    a: 0.0,
};

/// A layer as it is shown in one picture.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Which.
    pub layer: &'a Layer,
    /// Where its rendered point lies and how it is turned, where that is not as it was rendered: in a cross-fade the
    /// layer that leaves is laid over the one that comes.
    pub moved: Option<(Vec3, Quat)>,
    /// The pixels whose noise is within `from..to` are drawn; `(0, 1)` is all of them.
    pub share: (f32, f32),
    /// 0 black, 1 as rendered.
    pub brightness: f32,
}

/// What a picture is drawn on: the same colour format as the presenter's.
#[derive(Debug)]
pub struct Target {
    depth: wgpu::TextureView,
    width: u32,
    height: u32,
}

/// Pipelines for one colour format.
#[derive(Debug)]
pub struct Presenter {
    pipelines: Pipelines,
    sampler: wgpu::Sampler,
    eye: wgpu::Buffer,
    eye_group: wgpu::BindGroup,
    painter: Painter,
}

impl<'a> Shown<'a> {
    /// All of a layer, as it was rendered.
    #[must_use]
    pub const fn whole(layer: &'a Layer) -> Self {
        Self {
            layer,
            moved: None,
            share: (0.0, 1.0),
            brightness: 1.0,
        }
    }

    fn placed(&self) -> Placed {
        let at = Placed {
            share: Vec2::from(self.share),
            brightness: self.brightness,
            ..Placed::at(self.layer.tag())
        };
        match self.moved {
            Some((point, rotation)) => at.moved(point, rotation),
            None => at,
        }
    }
}

impl Target {
    /// A depth buffer of this size.
    ///
    /// # Errors
    /// [`Error::Size`] where the device has none of this size.
    pub fn new(gpu: &Gpu, width: u32, height: u32) -> Result<Self> {
        let most = gpu.device.limits().max_texture_dimension_2d;
        if width == 0 || height == 0 || width > most || height > most {
            return Err(Error::Size { width, height });
        }
        let depth = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("depth"),
            size: wgpu::Extent3d {
                width,
                height,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: DEPTH,
            usage: TextureUsages::RENDER_ATTACHMENT,
            view_formats: &[],
        });
        Ok(Self {
            depth: depth.create_view(&wgpu::TextureViewDescriptor::default()),
            width,
            height,
        })
    }

    /// Pixels across and down.
    #[must_use]
    pub const fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
}

impl Presenter {
    /// Draws display values: `format` must not be an sRGB one, which would encode them once more.
    #[must_use]
    pub fn new(gpu: &Gpu, format: TextureFormat) -> Self {
        let pipelines = Pipelines::new(gpu, format);
        let eye = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("eye"),
            size: size_of::<layout::Eye>() as u64,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let eye_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("eye"),
            layout: &pipelines.eye,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: eye.as_entire_binding(),
            }],
        });
        let sampler = gpu.device.create_sampler(&wgpu::SamplerDescriptor {
            label: Some("picture"),
            mag_filter: wgpu::FilterMode::Linear,
            min_filter: wgpu::FilterMode::Linear,
            ..wgpu::SamplerDescriptor::default()
        });
        let painter = Painter::new(gpu, &pipelines, format);
        Self {
            pipelines,
            sampler,
            eye,
            eye_group,
            painter,
        }
    }

    /// Puts a set on the GPU: into `layer`, or as a new one where there is none or its size differs.
    pub fn upload(&self, gpu: &Gpu, layer: &mut Option<Layer>, set: &Set) {
        if !layer.as_mut().is_some_and(|layer| layer.replace(gpu, set)) {
            *layer = Some(Layer::new(gpu, &self.pipelines, &self.sampler, set));
        }
    }

    /// Draws layers as an eye sees them, and `things` in the light of the first of them. What nothing covers keeps
    /// alpha 0.
    pub fn draw(
        &mut self,
        gpu: &Gpu,
        (color, target): (&wgpu::TextureView, &Target),
        eye: Eye,
        shown: &[Shown<'_>],
        things: Things<'_>,
    ) {
        let uniform = layout::Eye {
            clip_from_world: eye.clip_from_world(),
            point: eye.position.extend(0.0),
        };
        gpu.queue.write_buffer(&self.eye, 0, bytemuck::bytes_of(&uniform));
        for s in shown {
            s.layer.place(gpu, s.placed());
        }
        let batch = shown
            .first()
            .map(|s| (s.layer, self.painter.prepare(gpu, things, eye, s.layer.tag())));
        let mut encoder = gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("present"),
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: color,
                    depth_slice: None,
                    resolve_target: None,
                    ops: wgpu::Operations {
                        load: wgpu::LoadOp::Clear(NOTHING),
                        store: wgpu::StoreOp::Store,
                    },
                })],
                depth_stencil_attachment: Some(wgpu::RenderPassDepthStencilAttachment {
                    view: &target.depth,
                    depth_ops: Some(wgpu::Operations {
                        load: wgpu::LoadOp::Clear(0.0),
                        store: wgpu::StoreOp::Discard,
                    }),
                    stencil_ops: None,
                }),
                ..wgpu::RenderPassDescriptor::default()
            });
            pass.set_bind_group(0, &self.eye_group, &[]);
            for s in shown {
                let layer_from_world = s.moved.map_or(Quat::IDENTITY, |(_, rotation)| rotation.conjugate());
                let forward = layer_from_world * (eye.rotation * Vec3::NEG_Z);
                let fading = s.share != (0.0, 1.0);
                s.layer
                    .draw(&mut pass, &self.pipelines, fading, (forward, eye.half_diagonal()));
            }
            if let Some((layer, batch)) = &batch {
                layer.bind(&mut pass);
                self.painter.draw(&mut pass, batch);
            }
        }
        gpu.queue.submit([encoder.finish()]);
    }
}
