//! Draws layers for an eye.

use super::figures::{Painter, Things};
use super::layer::Maker;
use super::layout;
use super::locals::{Artist, Locals};
use super::pipelines::{DEPTH, Pipelines};
use super::relief::Placed;
use super::textures::{self, Textures};
use super::{Error, Eye, Gpu, Layer, Result, Set};
use glam::{Quat, Vec3};
use tongyou_protocol::frame::Shape;
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

/// What is shown in one picture.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scene<'a> {
    /// The layer.
    pub shown: Option<Shown<'a>>,
    /// In a cross-fade the one that leaves, and how much of it is left, 0 to 1.
    pub leaving: Option<(Shown<'a>, f32)>,
    /// What stands in it.
    pub things: Things<'a>,
    /// Models that the layer does not show; a flat camera's layer does.
    pub locals: &'a [&'a Locals],
    /// The instant at which they are shown, seconds of tour time.
    pub locals_at_s: f64,
}

/// Pipelines for one colour format.
#[derive(Debug)]
pub struct Presenter {
    format: TextureFormat,
    pipelines: Pipelines,
    nothing: Nothing,
    cover: Option<Cover>,
    sampler: wgpu::Sampler,
    eye: wgpu::Buffer,
    eye_group: wgpu::BindGroup,
    painter: Painter,
    artist: Artist,
}

impl<'a> Shown<'a> {
    /// All of a layer, as it was rendered.
    #[must_use]
    pub const fn whole(layer: &'a Layer) -> Self {
        Self {
            layer,
            moved: None,
            brightness: 1.0,
        }
    }

    fn placed(&self) -> Option<Placed> {
        let at = Placed {
            brightness: self.brightness,
            ..self.layer.placed()?
        };
        Some(match self.moved {
            Some((point, rotation)) => at.moved(point, rotation),
            None => at,
        })
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
        let artist = Artist::new(gpu, &pipelines, format);
        Self {
            format,
            nothing: Nothing::new(gpu),
            cover: None,
            pipelines,
            sampler,
            eye,
            eye_group,
            painter,
            artist,
        }
    }

    /// Puts a set of any layer of a vantage on the GPU.
    pub fn upload(&self, gpu: &Gpu, layer: &mut Layer, set: &Set) {
        let make = Maker {
            gpu,
            pipelines: &self.pipelines,
            sampler: &self.sampler,
            blunt: &self.nothing.arrays,
        };
        layer.take(&make, set);
    }

    /// Draws what an eye sees, and things in the light of the layer on show. What nothing covers keeps alpha 0.
    pub fn draw(&mut self, gpu: &Gpu, (color, target): (&wgpu::TextureView, &Target), eye: Eye, scene: Scene<'_>) {
        let uniform = layout::Eye {
            clip_from_world: eye.clip_from_world(),
            point: eye.position.extend(0.0),
        };
        gpu.queue.write_buffer(&self.eye, 0, bytemuck::bytes_of(&uniform));
        let place = |shown: Shown<'_>| {
            let placed = shown.placed()?;
            shown.layer.place(gpu, placed);
            Some(placed)
        };
        let shown = scene.shown.and_then(|s| Some((s.layer, place(s)?)));
        let leaving = scene.leaving.and_then(|(s, left)| Some((s.layer, place(s)?, left)));
        if leaving.is_none() {
            self.cover = None;
        } else if self.cover.as_ref().is_none_or(|c| c.size != target.size()) {
            self.cover = Some(Cover::new(gpu, self, target.size()));
        }
        let batch =
            shown.and_then(|(layer, _)| Some((layer, self.painter.prepare(gpu, scene.things, eye, layer.tag()?))));
        let shows_them = |layer: &Layer| layer.form().is_some_and(|form| form.shape == Shape::Flat);
        let local_to = shown.filter(|(layer, _)| !shows_them(layer)).map(|(layer, _)| layer);
        if let Some(tag) = local_to.and_then(Layer::tag) {
            let presence = 1.0 - leaving.map_or(0.0, |(_, _, left)| left);
            Artist::prepare(gpu, scene.locals, scene.locals_at_s, tag, presence);
        }
        let mut encoder = gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if let (Some((layer, placed, _)), Some(cover)) = (leaving, &self.cover) {
            let mut pass = begin(&mut encoder, &cover.color, target);
            pass.set_bind_group(0, &self.eye_group, &[]);
            layer.draw(&mut pass, &self.pipelines, placed, eye);
        }
        {
            let mut pass = begin(&mut encoder, color, target);
            pass.set_bind_group(0, &self.eye_group, &[]);
            if let Some((layer, placed)) = shown {
                layer.draw(&mut pass, &self.pipelines, placed, eye);
            }
            if let (Some((_, _, left)), Some(cover)) = (leaving, &self.cover) {
                let left = f64::from(left.clamp(0.0, 1.0));
                pass.set_bind_group(1, &cover.group, &[]);
                pass.set_pipeline(&self.pipelines.cover);
                pass.set_blend_constant(wgpu::Color {
                    r: left,
                    g: left,
                    b: left,
                    a: left,
                });
                pass.draw(0..3, 0..1);
            }
            if let Some(layer) = local_to {
                layer.bind(&mut pass);
                self.artist.draw(&mut pass, scene.locals);
            }
            if let Some((layer, batch)) = &batch {
                layer.bind(&mut pass);
                self.painter.draw(&mut pass, batch);
            }
        }
        gpu.queue.submit([encoder.finish()]);
    }
}

/// Stands in where a layer has no picture.
#[derive(Debug)]
struct Nothing {
    uniform: wgpu::Buffer,
    chroma: wgpu::TextureView,
    depth: wgpu::TextureView,
    arrays: [wgpu::TextureView; 2],
}

impl Nothing {
    fn new(gpu: &Gpu) -> Self {
        let colors = Textures::new(gpu, (2, 2), 1);
        let [_, chroma] = colors.views(false);
        let depth = textures::texture(gpu, "nothing", (1, 1, 1), TextureFormat::R16Uint);
        let uniform = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("nothing"),
            size: size_of::<layout::Layer>() as u64,
            usage: BufferUsages::UNIFORM,
            mapped_at_creation: false,
        });
        Self {
            uniform,
            chroma,
            depth: textures::view(&depth, true),
            arrays: colors.views(true),
        }
    }
}

/// Where what leaves is drawn.
#[derive(Debug)]
struct Cover {
    size: (u32, u32),
    color: wgpu::TextureView,
    group: wgpu::BindGroup,
}

impl Cover {
    fn new(gpu: &Gpu, presenter: &Presenter, (width, height): (u32, u32)) -> Self {
        let color = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("cover"),
            size: wgpu::Extent3d {
                width,
                height,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: presenter.format,
            usage: TextureUsages::RENDER_ATTACHMENT | TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let color = textures::view(&color, false);
        let nothing = &presenter.nothing;
        let [luma, chroma] = &nothing.arrays;
        let resources = [
            nothing.uniform.as_entire_binding(),
            wgpu::BindingResource::TextureView(&color),
            wgpu::BindingResource::TextureView(&nothing.chroma),
            wgpu::BindingResource::TextureView(&nothing.depth),
            wgpu::BindingResource::Sampler(&presenter.sampler),
            wgpu::BindingResource::TextureView(luma),
            wgpu::BindingResource::TextureView(chroma),
        ];
        let entries: Vec<_> = (0..)
            .zip(resources)
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("cover"),
            layout: &presenter.pipelines.layer,
            entries: &entries,
        });
        Self {
            size: (width, height),
            color,
            group,
        }
    }
}

fn begin<'a>(
    encoder: &'a mut wgpu::CommandEncoder,
    color: &wgpu::TextureView,
    target: &Target,
) -> wgpu::RenderPass<'a> {
    encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
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
    })
}
