//! Pipelines of the warp: edges, surface, sheet, backdrop, and the cover of a cross-fade.

use super::Gpu;
use tongyou_shaders::Shader;
use wgpu::{
    BindGroupLayout, BindGroupLayoutEntry, BindingType, BufferBindingType, RenderPipeline, ShaderStages, TextureFormat,
    TextureSampleType, TextureViewDimension, VertexAttribute, VertexBufferLayout, VertexFormat,
};

/// Of every picture.
pub(super) const DEPTH: TextureFormat = TextureFormat::Depth32Float;

/// Edges before the surface before the sheet: nearest first, and the first of two at one depth stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Edges,
    Surface,
    Sheet,
    /// What is left: cracks between these.
    Backdrop,
}

impl Part {
    const ALL: [Self; 4] = [Self::Edges, Self::Surface, Self::Sheet, Self::Backdrop];
    /// What has depth.
    pub(super) const GEOMETRY: [Self; 3] = [Self::Edges, Self::Surface, Self::Sheet];

    const fn entries(self) -> (&'static str, &'static str) {
        match self {
            Self::Edges => ("vs_edge", "fs_edge"),
            Self::Surface => ("vs_surface", "fs_surface"),
            Self::Sheet => ("vs_sheet", "fs_sheet"),
            Self::Backdrop => ("vs_backdrop", "fs_surface"),
        }
    }
}

/// For targets of one format.
#[derive(Debug)]
pub(super) struct Pipelines {
    pub(super) eye: BindGroupLayout,
    pub(super) layer: BindGroupLayout,
    /// As in [`Part::ALL`].
    parts: [RenderPipeline; 4],
    /// A picture over everything, as much of it as the blend constant says.
    pub(super) cover: RenderPipeline,
}

impl Pipelines {
    pub(super) fn new(gpu: &Gpu, format: TextureFormat) -> Self {
        let eye = layout(gpu, "eye", &[uniform(0)]);
        let layer = layout(
            gpu,
            "layer",
            &[
                uniform(0),
                texture(
                    1,
                    TextureSampleType::Float { filterable: true },
                    TextureViewDimension::D2,
                ),
                texture(
                    2,
                    TextureSampleType::Float { filterable: true },
                    TextureViewDimension::D2,
                ),
                texture(3, TextureSampleType::Uint, TextureViewDimension::D2Array),
                entry(4, BindingType::Sampler(wgpu::SamplerBindingType::Filtering)),
                texture(
                    5,
                    TextureSampleType::Float { filterable: true },
                    TextureViewDimension::D2Array,
                ),
                texture(
                    6,
                    TextureSampleType::Float { filterable: true },
                    TextureViewDimension::D2Array,
                ),
            ],
        );
        let pipeline_layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("warp"),
            bind_group_layouts: &[Some(&eye), Some(&layer)],
            immediate_size: 0,
        });
        let module = module(gpu, Shader::PresentWarp);
        Self {
            parts: Part::ALL.map(|part| warp_pipeline(gpu, &pipeline_layout, &module, format, part)),
            cover: cover_pipeline(gpu, &pipeline_layout, &module, format),
            eye,
            layer,
        }
    }

    pub(super) const fn of(&self, part: Part) -> &RenderPipeline {
        &self.parts[part as usize]
    }
}

pub(super) fn module(gpu: &Gpu, shader: Shader) -> wgpu::ShaderModule {
    gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(shader.name()),
        source: wgpu::ShaderSource::Wgsl(shader.source().into()),
    })
}

pub(super) fn layout(gpu: &Gpu, label: &str, entries: &[BindGroupLayoutEntry]) -> BindGroupLayout {
    gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(label),
        entries,
    })
}

pub(super) const fn uniform(binding: u32) -> BindGroupLayoutEntry {
    let ty = BindingType::Buffer {
        ty: BufferBindingType::Uniform,
        has_dynamic_offset: false,
        min_binding_size: None,
    };
    entry(binding, ty)
}

pub(super) const fn texture(
    binding: u32,
    sample_type: TextureSampleType,
    view_dimension: TextureViewDimension,
) -> BindGroupLayoutEntry {
    let ty = BindingType::Texture {
        sample_type,
        view_dimension,
        multisampled: false,
    };
    entry(binding, ty)
}

pub(super) const fn entry(binding: u32, ty: BindingType) -> BindGroupLayoutEntry {
    BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::VERTEX_FRAGMENT,
        ty,
        count: None,
    }
}

/// Reversed z: what is nearer has more of it.
pub(super) const fn depth_test(write: bool) -> wgpu::DepthStencilState {
    wgpu::DepthStencilState {
        format: DEPTH,
        depth_write_enabled: Some(write),
        depth_compare: Some(wgpu::CompareFunction::Greater),
        stencil: wgpu::StencilState {
            front: wgpu::StencilFaceState::IGNORE,
            back: wgpu::StencilFaceState::IGNORE,
            read_mask: 0,
            write_mask: 0,
        },
        bias: wgpu::DepthBiasState {
            constant: 0,
            slope_scale: 0.0,
            clamp: 0.0,
        },
    }
}

fn warp_pipeline(
    gpu: &Gpu,
    layout: &wgpu::PipelineLayout,
    module: &wgpu::ShaderModule,
    format: TextureFormat,
    part: Part,
) -> RenderPipeline {
    const VERTEX: [VertexAttribute; 1] = [VertexAttribute {
        format: VertexFormat::Uint16x4,
        offset: 0,
        shader_location: 0,
    }];
    let (vertex, fragment) = part.entries();
    let grid = [Some(VertexBufferLayout {
        array_stride: 8,
        step_mode: wgpu::VertexStepMode::Vertex,
        attributes: &VERTEX,
    })];
    gpu.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("warp"),
        layout: Some(layout),
        vertex: wgpu::VertexState {
            module,
            entry_point: Some(vertex),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: if part == Part::Backdrop { &[] } else { &grid },
        },
        // A triangle that bends far over is seen from behind, and is still what is there.
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: Some(depth_test(true)),
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module,
            entry_point: Some(fragment),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(format.into())],
        }),
        multiview_mask: None,
        cache: None,
    })
}

fn cover_pipeline(
    gpu: &Gpu,
    layout: &wgpu::PipelineLayout,
    module: &wgpu::ShaderModule,
    format: TextureFormat,
) -> RenderPipeline {
    let share = wgpu::BlendComponent {
        src_factor: wgpu::BlendFactor::Constant,
        dst_factor: wgpu::BlendFactor::OneMinusConstant,
        operation: wgpu::BlendOperation::Add,
    };
    gpu.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("cover"),
        layout: Some(layout),
        vertex: wgpu::VertexState {
            module,
            entry_point: Some("vs_cover"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[],
        },
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: Some(wgpu::DepthStencilState {
            depth_compare: Some(wgpu::CompareFunction::Always),
            ..depth_test(false)
        }),
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module,
            entry_point: Some("fs_cover"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(wgpu::ColorTargetState {
                format,
                blend: Some(wgpu::BlendState {
                    color: share,
                    alpha: wgpu::BlendComponent {
                        src_factor: wgpu::BlendFactor::Zero,
                        dst_factor: wgpu::BlendFactor::One,
                        operation: wgpu::BlendOperation::Add,
                    },
                }),
                write_mask: wgpu::ColorWrites::ALL,
            })],
        }),
        multiview_mask: None,
        cache: None,
    })
}
