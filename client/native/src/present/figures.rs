//! People and rings: small models that are drawn over the layer and lit as it is.

mod model;

use super::layout::{Instance, Light, Vertex};
use super::pipelines::{self, Pipelines};
use super::{Eye, Gpu};
use glam::{EulerRot, Mat4, Quat, Vec3, Vec4};
use model::Model;
use tongyou_protocol::frame::Tag;
use tongyou_shaders::Shader;
use wgpu::{BufferUsages, RenderPipeline, TextureFormat, VertexFormat, VertexStepMode};

/// Someone this close to the eye would fill it, metres.
const TOO_CLOSE_M: f32 = 0.45;
/// Display red, green and blue of the guide.
const GUIDE: [u8; 3] = [0xe7, 0xb9, 0x4c];
const RING_CALM: [u8; 3] = [0xff, 0xd5, 0x6a];
const RING_HOT: [u8; 3] = [0xff, 0x6a, 0x4d];

/// Radius of the dot at which somebody points, and of the beam, per metre from the eye.
const DOT: f32 = 0.008;
const BEAM: f32 = 0.0015;

/// Where something is held: stop-local metres, and how it is turned.
pub type Joint = (Vec3, Quat);

/// One of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The id in the session: it gives the colour.
    pub headset: u16,
    /// Gold, with a flag.
    pub is_guide: bool,
    /// The head.
    pub head: Joint,
    /// The left hand, where tracked.
    pub left: Option<Joint>,
    /// The right hand, where tracked.
    pub right: Option<Joint>,
    /// Where they point, stop-local metres.
    pub pointer: Option<Vec3>,
}

/// A place to walk to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ring {
    /// On the floor, stop-local metres.
    pub at: Vec3,
    /// The mouse is on it.
    pub is_hot: bool,
}

/// What is drawn over a layer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Things<'a> {
    /// The others.
    pub figures: &'a [Figure],
    /// Where one can walk to.
    pub rings: &'a [Ring],
    /// Where the wearer points, stop-local metres, and the wearer's id.
    pub pointer: Option<(u16, Vec3)>,
}

/// Instances of one model, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Head,
    Body,
    Hand,
    Flag,
    Dot,
    Beam,
    Ring,
}

impl Kind {
    /// People before what is seen through.
    const ALL: [Self; 7] = [
        Self::Head,
        Self::Body,
        Self::Hand,
        Self::Flag,
        Self::Dot,
        Self::Beam,
        Self::Ring,
    ];
}

/// Pipelines and models.
#[derive(Debug)]
pub(super) struct Painter {
    solid: RenderPipeline,
    clear: RenderPipeline,
    light: wgpu::Buffer,
    light_group: wgpu::BindGroup,
    vertices: wgpu::Buffer,
    /// First vertex and how many, as in [`Kind::ALL`].
    models: [(u32, u32); 7],
    instances: wgpu::Buffer,
}

/// What is to be drawn: runs of instances.
pub(super) struct Batch {
    runs: Vec<(Kind, std::ops::Range<u32>)>,
}

impl Painter {
    pub(super) fn new(gpu: &Gpu, pipelines: &Pipelines, format: TextureFormat) -> Self {
        let light_layout = pipelines::layout(gpu, "light", &[pipelines::uniform(0)]);
        let layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("figures"),
            bind_group_layouts: &[Some(&pipelines.eye), Some(&pipelines.layer), Some(&light_layout)],
            immediate_size: 0,
        });
        let module = pipelines::module(gpu, Shader::PresentFigures);
        let light = buffer(gpu, "light", size_of::<Light>(), BufferUsages::UNIFORM);
        let light_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("light"),
            layout: &light_layout,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: light.as_entire_binding(),
            }],
        });
        let mut all = Vec::new();
        let models = Kind::ALL.map(|kind| {
            let first = count(all.len());
            all.extend(model_of(kind).vertices);
            (first, count(all.len()) - first)
        });
        let vertices = buffer(gpu, "models", size_of_val(&all[..]), BufferUsages::VERTEX);
        gpu.queue.write_buffer(&vertices, 0, bytemuck::cast_slice(&all));
        Self {
            solid: pipeline(gpu, &layout, &module, format, true),
            clear: pipeline(gpu, &layout, &module, format, false),
            light,
            light_group,
            vertices,
            models,
            instances: buffer(gpu, "instances", 64 * size_of::<Instance>(), BufferUsages::VERTEX),
        }
    }

    /// Puts what is to be drawn on the GPU.
    pub(super) fn prepare(&mut self, gpu: &Gpu, things: Things<'_>, eye: Eye, tag: &Tag) -> Batch {
        gpu.queue
            .write_buffer(&self.light, 0, bytemuck::bytes_of(&light_of(tag)));
        let mut parts: Vec<(Kind, Instance)> = Vec::new();
        for figure in things.figures {
            if figure.head.0.distance(eye.position) >= TOO_CLOSE_M {
                parts.extend(figure.parts());
            }
        }
        for (headset, is_guide, from, to) in things.pointers() {
            parts.extend(pointer_parts(
                color_of_person(headset, is_guide),
                from,
                to,
                eye.position,
            ));
        }
        parts.extend(things.rings.iter().map(Ring::part));
        parts.sort_by_key(|(kind, _)| *kind);
        let mut runs: Vec<(Kind, std::ops::Range<u32>)> = Vec::new();
        for (at, (kind, _)) in (0..).zip(&parts) {
            match runs.last_mut() {
                Some((last, run)) if last == kind => run.end = at + 1,
                _ => runs.push((*kind, at..at + 1)),
            }
        }
        let all: Vec<Instance> = parts.into_iter().map(|(_, instance)| instance).collect();
        let bytes: &[u8] = bytemuck::cast_slice(&all);
        if bytes.len() as u64 > self.instances.size() {
            self.instances = buffer(gpu, "instances", 2 * bytes.len(), BufferUsages::VERTEX);
        }
        gpu.queue.write_buffer(&self.instances, 0, bytes);
        Batch { runs }
    }

    /// Draws it; groups 0 and 1 are set.
    pub(super) fn draw(&self, pass: &mut wgpu::RenderPass<'_>, batch: &Batch) {
        if batch.runs.is_empty() {
            return;
        }
        pass.set_bind_group(2, &self.light_group, &[]);
        pass.set_vertex_buffer(0, self.vertices.slice(..));
        pass.set_vertex_buffer(1, self.instances.slice(..));
        for (kind, run) in &batch.runs {
            let is_clear = matches!(kind, Kind::Ring | Kind::Beam);
            pass.set_pipeline(if is_clear { &self.clear } else { &self.solid });
            let (first, count) = self.models[*kind as usize];
            pass.draw(first..first + count, run.clone());
        }
    }
}

impl Figure {
    fn parts(&self) -> Vec<(Kind, Instance)> {
        let color = color_of_person(self.headset, self.is_guide);
        let part = |kind, (position, rotation): Joint| {
            let instance = Instance {
                world_from_part: Mat4::from_rotation_translation(rotation, position),
                color: color.extend(1.0),
                look: Vec4::new(1.0, 1.0, 0.0, 0.0),
            };
            (kind, instance)
        };
        let (heading, _, _) = self.head.1.to_euler(EulerRot::YXZ);
        let body = (self.head.0, Quat::from_rotation_y(heading));
        let mut parts = vec![part(Kind::Head, self.head), part(Kind::Body, body)];
        parts.extend(
            [self.left, self.right]
                .into_iter()
                .flatten()
                .map(|hand| part(Kind::Hand, hand)),
        );
        if self.is_guide {
            parts.push(part(Kind::Flag, self.head));
        }
        parts
    }
}

impl Things<'_> {
    /// Who points: id, whether it is the guide, from where if that is seen, and where to.
    fn pointers(&self) -> impl Iterator<Item = (u16, bool, Option<Vec3>, Vec3)> {
        let others = self.figures.iter().filter_map(|f| {
            let hand = f.right.or(f.left).map_or(f.head.0 - Vec3::Y * 0.25, |h| h.0);
            Some((f.headset, f.is_guide, Some(hand), f.pointer?))
        });
        others.chain(self.pointer.map(|(id, to)| (id, false, None, to)))
    }
}

/// A dot, which looks the same from afar, and a beam to it.
fn pointer_parts(color: Vec3, from: Option<Vec3>, to: Vec3, eye: Vec3) -> Vec<(Kind, Instance)> {
    let instance = |world_from_part: Mat4, opacity: f32| Instance {
        world_from_part,
        color: color.extend(opacity),
        look: Vec4::ZERO,
    };
    let size = (to.distance(eye) * DOT).clamp(0.02, 0.6);
    let dot = Mat4::from_scale_rotation_translation(Vec3::splat(size), Quat::IDENTITY, to);
    let mut parts = vec![(Kind::Dot, instance(dot, 1.0))];
    if let Some(from) = from.filter(|from| from.distance(to) > 0.1) {
        let thick = (to.distance(eye).min(from.distance(eye)) * BEAM).clamp(0.004, 0.05);
        let turn = Quat::from_rotation_arc(Vec3::NEG_Z, (to - from).normalize());
        let scale = Vec3::new(thick, thick, from.distance(to));
        parts.push((
            Kind::Beam,
            instance(Mat4::from_scale_rotation_translation(scale, turn, from), 0.7),
        ));
    }
    parts
}

fn color_of_person(headset: u16, is_guide: bool) -> Vec3 {
    if is_guide { linear(GUIDE) } else { color_of(headset) }
}

impl Ring {
    fn part(&self) -> (Kind, Instance) {
        let color = linear(if self.is_hot { RING_HOT } else { RING_CALM });
        let instance = Instance {
            world_from_part: Mat4::from_translation(self.at + Vec3::Y * 0.02),
            color: color.extend(0.85),
            look: Vec4::ZERO,
        };
        (Kind::Ring, instance)
    }
}

/// Colours that stay apart, also from the guide's gold; linear.
fn color_of(headset: u16) -> Vec3 {
    let hue = (0.52 + f32::from(headset) * 0.381_966).fract();
    let away = if hue > 0.08 && hue < 0.18 { hue + 0.12 } else { hue };
    let (saturation, lightness) = (0.5, 0.56);
    let most = lightness + saturation - lightness * saturation;
    let least = 2.0 * lightness - most;
    Vec3::new(away + 1.0 / 3.0, away, away - 1.0 / 3.0).map(|t| {
        let t = t.rem_euclid(1.0);
        if t < 1.0 / 6.0 {
            least + (most - least) * 6.0 * t
        } else if t < 0.5 {
            most
        } else if t < 2.0 / 3.0 {
            least + (most - least) * 6.0 * (2.0 / 3.0 - t)
        } else {
            least
        }
    })
}

/// Of display values.
pub(super) fn linear(rgb: [u8; 3]) -> Vec3 {
    Vec3::from(rgb.map(|c| {
        let c = f32::from(c) / 255.0;
        if c <= 0.040_45 {
            c / 12.92
        } else {
            ((c + 0.055) / 1.055).powf(2.4)
        }
    }))
}

/// The light that a picture carries: people stand in the same.
fn light_of(tag: &Tag) -> Light {
    const Y00: f32 = 0.282_095;
    let mean = tag.ambient[0].iter().sum::<f32>() / 3.0 * tag.exposure * Y00;
    // So that nobody is lost in the dark nor burnt out: the mean stays within what a screen shows well.
    let intensity = if mean > 0.0 { mean.clamp(0.4, 1.1) / mean } else { 1.0 };
    Light {
        // Half its tint: the colours by which people are told apart have to survive a blue evening.
        ambient: tag.ambient.map(|rgb| {
            let rgb = Vec3::from(rgb);
            let gray = Vec3::splat(rgb.element_sum() / 3.0);
            ((rgb + gray) * (0.5 * tag.exposure * intensity)).extend(0.0)
        }),
        key: Vec3::new(0.4, 1.0, 0.3).normalize().extend(0.6),
    }
}

fn model_of(kind: Kind) -> Model {
    match kind {
        Kind::Head => Model::head(),
        Kind::Body => Model::body(),
        Kind::Hand => Model::hand(),
        Kind::Flag => Model::flag(),
        Kind::Dot => Model::dot(),
        Kind::Beam => Model::beam(),
        Kind::Ring => Model::ring(),
    }
}

fn buffer(gpu: &Gpu, label: &str, size: usize, usage: BufferUsages) -> wgpu::Buffer {
    gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: size as u64,
        usage: usage | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn pipeline(
    gpu: &Gpu,
    layout: &wgpu::PipelineLayout,
    module: &wgpu::ShaderModule,
    format: TextureFormat,
    is_solid: bool,
) -> RenderPipeline {
    const FLOAT4: VertexFormat = VertexFormat::Float32x4;
    let vertex = wgpu::vertex_attr_array![0 => Float32x3, 1 => Float32x3, 2 => Float32x4, 3 => Float32];
    let instance = [0, 1, 2, 3, 4, 5].map(|i| wgpu::VertexAttribute {
        format: FLOAT4,
        offset: u64::from(i) * FLOAT4.size(),
        shader_location: 4 + i,
    });
    let step = |size: usize, step_mode, attributes| {
        Some(wgpu::VertexBufferLayout {
            array_stride: size as u64,
            step_mode,
            attributes,
        })
    };
    gpu.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("figures"),
        layout: Some(layout),
        vertex: wgpu::VertexState {
            module,
            entry_point: Some("vs_figure"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[
                step(size_of::<Vertex>(), VertexStepMode::Vertex, &vertex),
                step(size_of::<Instance>(), VertexStepMode::Instance, &instance),
            ],
        },
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: Some(pipelines::depth_test(is_solid)),
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module,
            entry_point: Some("fs_figure"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(wgpu::ColorTargetState {
                format,
                blend: (!is_solid).then_some(wgpu::BlendState::ALPHA_BLENDING),
                write_mask: wgpu::ColorWrites::ALL,
            })],
        }),
        multiview_mask: None,
        cache: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_have_colours_of_their_own() {
        let colors: Vec<Vec3> = (1..6).map(color_of).chain([linear(GUIDE)]).collect();
        for (i, a) in colors.iter().enumerate() {
            for b in &colors[i + 1..] {
                assert!(a.distance(*b) > 0.1, "{a} {b}");
            }
        }
        assert!((linear([255, 0, 188]) - Vec3::new(1.0, 0.0, 0.502)).length() < 0.01);
    }

    #[test]
    fn a_beam_goes_from_the_hand_to_the_dot() {
        let (hand, at) = (Vec3::new(1.0, 1.2, -2.0), Vec3::new(-3.0, 4.0, -20.0));
        let parts = pointer_parts(Vec3::ONE, Some(hand), at, Vec3::Y);
        let [(Kind::Dot, dot), (Kind::Beam, beam)] = parts[..] else {
            panic!("{parts:?}")
        };
        assert_eq!(dot.world_from_part.w_axis.truncate(), at);
        let end = beam.world_from_part.transform_point3(Vec3::NEG_Z);
        assert!(
            end.distance(at) < 1e-4 && beam.world_from_part.w_axis.truncate() == hand,
            "{end}"
        );
    }

    #[test]
    fn a_guide_has_a_flag_and_hands_are_drawn_where_they_are() {
        let hand = (Vec3::new(0.2, 1.2, -0.3), Quat::IDENTITY);
        let figure = Figure {
            headset: 3,
            is_guide: true,
            head: (Vec3::Y * 1.6, Quat::from_rotation_x(0.3)),
            left: None,
            right: Some(hand),
            pointer: None,
        };
        let parts = figure.parts();
        let kinds: Vec<Kind> = parts.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [Kind::Head, Kind::Body, Kind::Hand, Kind::Flag]);
        assert_eq!(parts[2].1.world_from_part.w_axis.truncate(), hand.0);
        let upright = parts[1].1.world_from_part.y_axis.truncate();
        assert!(upright.distance(Vec3::Y) < 1e-5, "a body does not nod");
    }
}
