//! Pipelines and the layouts of what they bind.

use tongyou_shaders::Shader;
use wgpu::{
    AddressMode, BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor,
    BindGroupLayoutEntry, BindingResource, BindingType, Buffer, BufferBindingType, CompareFunction, DepthBiasState,
    DepthStencilState, Face, FilterMode, FragmentState, MipmapFilterMode, MultisampleState, PrimitiveState,
    RenderPipeline, RenderPipelineDescriptor, SamplerBindingType, SamplerDescriptor, ShaderStages, TextureFormat,
    TextureSampleType, TextureViewDimension, VertexAttribute, VertexBufferLayout, VertexFormat, VertexState,
    VertexStepMode,
};

use super::device::Gpu;
use super::shadow;
use super::textures::Textures;
use crate::pack::Vertex;

/// Samples of visibility in a pixel; their places are Vulkan's standard ones.
pub(crate) const SAMPLES: u32 = 4;
/// Part + 1 and triangle of a sample.
pub(crate) const VISIBILITY: TextureFormat = TextureFormat::Rg16Uint;
/// Depth of the visibility pass and of shadow maps.
pub(crate) const DEPTH: TextureFormat = TextureFormat::Depth32Float;

/// Everything that is compiled once.
pub(crate) struct Pipelines {
    scene_layout: BindGroupLayout,
    pub(crate) frame_layout: BindGroupLayout,
    pub(crate) shadow_layout: BindGroupLayout,
    pub(crate) shade_layout: BindGroupLayout,
    /// A view's cuts, see `crate::behind`.
    pub(crate) cuts_layout: BindGroupLayout,
    /// By [`raster_index`].
    pub(crate) raster: [RenderPipeline; 6],
    /// The same for what lies behind a cut.
    pub(crate) raster_behind: [RenderPipeline; 6],
    /// Opaque, alpha-tested.
    pub(crate) shadow: [RenderPipeline; 2],
    pub(crate) shade: wgpu::ComputePipeline,
    /// Colour, then depth of an undivided view.
    pub(crate) shade_eye: [wgpu::ComputePipeline; 2],
    repeat_sampler: wgpu::Sampler,
    pub(crate) shadow_sampler: wgpu::Sampler,
    /// What is bound where there is no sun.
    pub(crate) no_shadow: wgpu::TextureView,
}

/// Which raster pipeline draws a part.
pub(crate) const fn raster_index(alpha_tested: bool, double_sided: bool, mirrored: bool) -> usize {
    let culling = if double_sided {
        2
    } else if mirrored {
        1
    } else {
        0
    };
    culling + if alpha_tested { 3 } else { 0 }
}

impl Pipelines {
    pub(crate) fn new(gpu: &Gpu) -> Self {
        let scene_layout = scene_layout(gpu);
        let frame_layout = layout(gpu, "frame", &[buffer(0, BufferBindingType::Uniform)]);
        let shadow_layout = layout(gpu, "shadow", &[buffer(0, BufferBindingType::Uniform)]);
        let shade_layout = shade_layout(gpu);
        let cuts_layout = layout(
            gpu,
            "cuts",
            &[buffer(0, BufferBindingType::Storage { read_only: true })],
        );
        let pipeline_layout = |groups: &[&BindGroupLayout]| {
            let groups: Vec<Option<&BindGroupLayout>> = groups.iter().map(|g| Some(*g)).collect();
            gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &groups,
                immediate_size: 0,
            })
        };
        let module = |shader: Shader| {
            gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(shader.name()),
                source: wgpu::ShaderSource::Wgsl(shader.source().into()),
            })
        };
        let [raster, shadow, shade, shade_eye] = Shader::ALL.map(module);
        let raster_layout = pipeline_layout(&[&scene_layout, &frame_layout]);
        let behind_layout = pipeline_layout(&[&scene_layout, &frame_layout, &cuts_layout]);
        let shadow_pipelines = pipeline_layout(&[&scene_layout, &frame_layout, &shadow_layout]);
        let shade_pipelines = pipeline_layout(&[&scene_layout, &frame_layout, &shade_layout]);
        let culling = [Some(Face::Back), Some(Face::Front), None];
        let shade_pipeline = |module: &wgpu::ShaderModule, entry_point: &str| {
            gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some("shade"),
                layout: Some(&shade_pipelines),
                module,
                entry_point: Some(entry_point),
                // The shader sets each word of it before it reads one.
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..wgpu::PipelineCompilationOptions::default()
                },
                cache: None,
            })
        };
        Self {
            raster: std::array::from_fn(|i| {
                let entry = if i >= 3 { "fs_alpha" } else { "fs_opaque" };
                raster_pipeline(gpu, &raster, &raster_layout, entry, culling[i % 3])
            }),
            raster_behind: std::array::from_fn(|i| {
                let entry = if i >= 3 { "fs_alpha_behind" } else { "fs_opaque_behind" };
                raster_pipeline(gpu, &raster, &behind_layout, entry, culling[i % 3])
            }),
            shadow: [None, Some("fs_shadow_alpha")].map(|f| shadow_pipeline(gpu, &shadow, &shadow_pipelines, f)),
            shade: shade_pipeline(&shade, "cs_shade"),
            shade_eye: ["cs_shade", "cs_depth"].map(|entry| shade_pipeline(&shade_eye, entry)),
            scene_layout,
            frame_layout,
            shadow_layout,
            shade_layout,
            cuts_layout,
            no_shadow: shadow::texture(gpu, 1).1,
            repeat_sampler: gpu.device.create_sampler(&SamplerDescriptor {
                label: Some("repeat"),
                address_mode_u: AddressMode::Repeat,
                address_mode_v: AddressMode::Repeat,
                mag_filter: FilterMode::Linear,
                min_filter: FilterMode::Linear,
                // A second level costs a software driver a tenth of the picture's time.
                mipmap_filter: if gpu.software {
                    MipmapFilterMode::Nearest
                } else {
                    MipmapFilterMode::Linear
                },
                ..SamplerDescriptor::default()
            }),
            shadow_sampler: gpu.device.create_sampler(&SamplerDescriptor {
                label: Some("shadow"),
                mag_filter: FilterMode::Linear,
                min_filter: FilterMode::Linear,
                compare: Some(CompareFunction::LessEqual),
                ..SamplerDescriptor::default()
            }),
        }
    }

    pub(crate) fn scene_group(
        &self,
        gpu: &Gpu,
        vertices: &Buffer,
        indices: &Buffer,
        parts: &Buffer,
        materials: &Buffer,
        textures: &Textures,
    ) -> BindGroup {
        let mut resources: Vec<BindingResource<'_>> = [vertices, indices, parts, materials]
            .map(Buffer::as_entire_binding)
            .into();
        resources.extend([&textures.colors, &textures.data].map(BindingResource::TextureView));
        resources.push(BindingResource::Sampler(&self.repeat_sampler));
        group(gpu, "scene", &self.scene_layout, resources)
    }
}

/// A bind group whose bindings are numbered in order.
pub(crate) fn group(
    gpu: &Gpu,
    label: &'static str,
    layout: &BindGroupLayout,
    resources: Vec<BindingResource<'_>>,
) -> BindGroup {
    let entries: Vec<BindGroupEntry<'_>> = (0u32..)
        .zip(resources)
        .map(|(binding, resource)| BindGroupEntry { binding, resource })
        .collect();
    gpu.device.create_bind_group(&BindGroupDescriptor {
        label: Some(label),
        layout,
        entries: &entries,
    })
}

fn scene_layout(gpu: &Gpu) -> BindGroupLayout {
    let mut entries: Vec<BindGroupLayoutEntry> = (0..4)
        .map(|i| buffer(i, BufferBindingType::Storage { read_only: true }))
        .collect();
    for _ in 0..2 {
        let sample_type = TextureSampleType::Float { filterable: true };
        entries.push(texture(
            next(&entries),
            sample_type,
            TextureViewDimension::D2Array,
            false,
        ));
    }
    entries.push(entry(
        next(&entries),
        BindingType::Sampler(SamplerBindingType::Filtering),
    ));
    layout(gpu, "scene", &entries)
}

fn shade_layout(gpu: &Gpu) -> BindGroupLayout {
    let read = BufferBindingType::Storage { read_only: true };
    let write = BufferBindingType::Storage { read_only: false };
    let entries = [
        texture(0, TextureSampleType::Uint, TextureViewDimension::D2, true),
        texture(1, TextureSampleType::Depth, TextureViewDimension::D2, false),
        texture(2, TextureSampleType::Depth, TextureViewDimension::D2, false),
        entry(3, BindingType::Sampler(SamplerBindingType::Comparison)),
        buffer(4, read),
        buffer(5, read),
        buffer(6, write),
        buffer(7, write),
        buffer(8, read),
    ]
    .map(|e| BindGroupLayoutEntry {
        visibility: ShaderStages::COMPUTE,
        ..e
    });
    layout(gpu, "shade", &entries)
}

fn next(entries: &[BindGroupLayoutEntry]) -> u32 {
    entries.last().map_or(0, |e| e.binding + 1)
}

fn layout(gpu: &Gpu, label: &'static str, entries: &[BindGroupLayoutEntry]) -> BindGroupLayout {
    gpu.device.create_bind_group_layout(&BindGroupLayoutDescriptor {
        label: Some(label),
        entries,
    })
}

fn entry(binding: u32, ty: BindingType) -> BindGroupLayoutEntry {
    BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::VERTEX | ShaderStages::FRAGMENT | ShaderStages::COMPUTE,
        ty,
        count: None,
    }
}

fn buffer(binding: u32, ty: BufferBindingType) -> BindGroupLayoutEntry {
    entry(
        binding,
        BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: None,
        },
    )
}

fn texture(
    binding: u32,
    sample_type: TextureSampleType,
    view_dimension: TextureViewDimension,
    multisampled: bool,
) -> BindGroupLayoutEntry {
    entry(
        binding,
        BindingType::Texture {
            sample_type,
            view_dimension,
            multisampled,
        },
    )
}

const ATTRIBUTES: [VertexAttribute; 3] = [
    VertexAttribute {
        format: VertexFormat::Float32x3,
        offset: 0,
        shader_location: 0,
    },
    VertexAttribute {
        format: VertexFormat::Float32x2,
        offset: 24,
        shader_location: 1,
    },
    VertexAttribute {
        format: VertexFormat::Uint32,
        offset: 12,
        shader_location: 2,
    },
];

fn vertex_buffer(attributes: &[VertexAttribute]) -> Option<VertexBufferLayout<'_>> {
    Some(VertexBufferLayout {
        array_stride: size_of::<Vertex>() as u64,
        step_mode: VertexStepMode::Vertex,
        attributes,
    })
}

fn raster_pipeline(
    gpu: &Gpu,
    module: &wgpu::ShaderModule,
    layout: &wgpu::PipelineLayout,
    fragment: &str,
    cull_mode: Option<Face>,
) -> RenderPipeline {
    gpu.device.create_render_pipeline(&RenderPipelineDescriptor {
        label: Some("visibility"),
        layout: Some(layout),
        vertex: VertexState {
            module,
            entry_point: Some("vs_view"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[vertex_buffer(&ATTRIBUTES)],
        },
        primitive: PrimitiveState {
            cull_mode,
            ..PrimitiveState::default()
        },
        depth_stencil: Some(DepthStencilState {
            format: DEPTH,
            depth_write_enabled: Some(true),
            depth_compare: Some(CompareFunction::Greater),
            stencil: wgpu::StencilState::default(),
            bias: DepthBiasState::default(),
        }),
        multisample: MultisampleState {
            count: SAMPLES,
            ..MultisampleState::default()
        },
        fragment: Some(FragmentState {
            module,
            entry_point: Some(fragment),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(VISIBILITY.into())],
        }),
        multiview_mask: None,
        cache: None,
    })
}

fn shadow_pipeline(
    gpu: &Gpu,
    module: &wgpu::ShaderModule,
    layout: &wgpu::PipelineLayout,
    fragment: Option<&str>,
) -> RenderPipeline {
    gpu.device.create_render_pipeline(&RenderPipelineDescriptor {
        label: Some("shadow"),
        layout: Some(layout),
        vertex: VertexState {
            module,
            entry_point: Some("vs_shadow"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[vertex_buffer(&ATTRIBUTES[..2])],
        },
        // Thin walls and open meshes cast shadows from both sides.
        primitive: PrimitiveState::default(),
        depth_stencil: Some(DepthStencilState {
            format: DEPTH,
            depth_write_enabled: Some(true),
            depth_compare: Some(CompareFunction::Less),
            stencil: wgpu::StencilState::default(),
            bias: DepthBiasState {
                constant: 1,
                slope_scale: 1.5,
                clamp: 0.0,
            },
        }),
        multisample: MultisampleState::default(),
        fragment: fragment.map(|f| FragmentState {
            module,
            entry_point: Some(f),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[],
        }),
        multiview_mask: None,
        cache: None,
    })
}
