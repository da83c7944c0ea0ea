//! Presenting without a window: pictures as an eye would see them.

use super::{Adapter, Error, Eye, Gpu, Layer, Locals, Presenter, Result, Scene, Set, Shown, Target, Things};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tongyou_protocol::depth::Cube;
use tongyou_protocol::frame::{Layer as Number, Tag};
use wgpu::{TextureFormat, TextureUsages};

/// A picture in display values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Row by row from the top left. Alpha is 255 where something was drawn, 0 in a hole.
    pub rgba: Vec<u8>,
}

/// Presents one layer off-screen.
#[derive(Debug)]
pub struct Offscreen {
    gpu: Gpu,
    presenter: Presenter,
    layer: Layer,
    /// The newest of each layer.
    sets: BTreeMap<Number, Set>,
    /// With the instant at which they are shown, seconds of tour time.
    locals: (Vec<Arc<Locals>>, f64),
    canvas: Option<Canvas>,
}

#[derive(Debug)]
struct Canvas {
    target: Target,
    color: wgpu::Texture,
    readback: wgpu::Buffer,
    row_bytes: u32,
}

impl Image {
    /// Writes it as PNG.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn write_png(&self, path: &Path) -> std::io::Result<()> {
        let file = std::io::BufWriter::new(std::fs::File::create(path)?);
        let mut encoder = png::Encoder::new(file, self.width, self.height);
        encoder.set_color(png::ColorType::Rgba);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgba)?;
        writer.finish()?;
        Ok(())
    }

    /// Pixels that nothing covers.
    #[must_use]
    pub fn holes(&self) -> usize {
        self.rgba.iter().skip(3).step_by(4).filter(|a| **a == 0).count()
    }

    /// One pixel, RGBA.
    #[must_use]
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 4] {
        let at = (y as usize * self.width as usize + x as usize) * 4;
        [self.rgba[at], self.rgba[at + 1], self.rgba[at + 2], self.rgba[at + 3]]
    }
}

impl Offscreen {
    /// Without anything to show yet.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoDevice`], [`Error::Gpu`].
    pub fn new(adapter: Adapter) -> Result<Self> {
        let gpu = Gpu::new(adapter)?;
        let presenter = Presenter::new(&gpu, TextureFormat::Rgba8Unorm);
        gpu.check("making pipelines")?;
        Ok(Self {
            gpu,
            presenter,
            layer: Layer::default(),
            sets: BTreeMap::new(),
            locals: (Vec::new(), 0.0),
            canvas: None,
        })
    }

    /// What draws.
    #[must_use]
    pub const fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The newest set of a layer.
    #[must_use]
    pub fn set(&self, layer: Number) -> Option<&Set> {
        self.sets.get(&layer)
    }

    /// What is on show.
    #[must_use]
    pub const fn layer(&self) -> &Layer {
        &self.layer
    }

    /// Forgets everything: another vantage.
    pub fn clear(&mut self) {
        self.layer = Layer::default();
        self.sets.clear();
    }

    /// Takes a layer: the atlas of faces of `face_size`² pixels as NV12, and inverse depth.
    ///
    /// # Errors
    /// [`Error::Set`] where sizes do not fit together, [`Error::Gpu`].
    pub fn show(&mut self, tag: Tag, face_size: u32, nv12: &[u8], depth: &Arc<Cube>) -> Result<()> {
        let set = Set::new(tag, face_size, nv12, Arc::clone(depth), self.set(Number::Base))?;
        self.show_set(set)
    }

    /// Takes a set of any layer that is ready. Sharp faces are there at once.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub fn show_set(&mut self, set: Set) -> Result<()> {
        self.presenter.upload(&self.gpu, &mut self.layer, &set);
        self.layer.advance(1.0);
        self.sets.insert(set.form().layer, set);
        self.gpu.check("uploading a set")
    }

    /// From now on these models stand in the layer, as they are at a tour time, seconds.
    pub fn stand(&mut self, locals: Vec<Arc<Locals>>, at_s: f64) {
        self.locals = (locals, at_s);
    }

    /// What an eye sees of the layer. Without one everything is a hole.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Gpu`].
    pub fn look(&mut self, eye: Eye, width: u32, height: u32) -> Result<Image> {
        self.look_with(eye, width, height, Things::default())
    }

    /// [`Self::look`] with people and rings in it.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Gpu`].
    pub fn look_with(&mut self, eye: Eye, width: u32, height: u32, things: Things<'_>) -> Result<Image> {
        if self.canvas.as_ref().is_none_or(|c| c.target.size() != (width, height)) {
            self.canvas = Some(Canvas::new(&self.gpu, width, height)?);
        }
        let Some(canvas) = &self.canvas else {
            return Err(Error::Size { width, height });
        };
        let view = canvas.color.create_view(&wgpu::TextureViewDescriptor::default());
        let locals: Vec<&Locals> = self.locals.0.iter().map(Arc::as_ref).collect();
        let scene = Scene {
            shown: Some(Shown::whole(&self.layer)),
            leaving: None,
            things,
            locals: &locals,
            locals_at_s: self.locals.1,
        };
        self.presenter.draw(&self.gpu, (&view, &canvas.target), eye, scene);
        canvas.read(&self.gpu)
    }
}

impl Canvas {
    fn new(gpu: &Gpu, width: u32, height: u32) -> Result<Self> {
        let target = Target::new(gpu, width, height)?;
        let color = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("picture"),
            size: wgpu::Extent3d {
                width,
                height,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: TextureFormat::Rgba8Unorm,
            usage: TextureUsages::RENDER_ATTACHMENT | TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let row_bytes = (4 * width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let readback = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("picture"),
            size: u64::from(row_bytes) * u64::from(height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        Ok(Self {
            target,
            color,
            readback,
            row_bytes,
        })
    }

    fn read(&self, gpu: &Gpu) -> Result<Image> {
        const DOING: &str = "reading a picture";
        let (width, height) = self.target.size();
        let mut encoder = gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_texture_to_buffer(
            self.color.as_image_copy(),
            wgpu::TexelCopyBufferInfo {
                buffer: &self.readback,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(self.row_bytes),
                    rows_per_image: Some(height),
                },
            },
            self.color.size(),
        );
        gpu.queue.submit([encoder.finish()]);
        let slice = self.readback.slice(..);
        // What fails here shows when the range is taken.
        slice.map_async(wgpu::MapMode::Read, |_| {});
        gpu.wait(DOING)?;
        let failed = |e: &dyn std::fmt::Display| Error::Gpu {
            doing: DOING,
            message: e.to_string(),
        };
        let rows = slice.get_mapped_range().map_err(|e| failed(&e))?;
        let rgba = rows
            .chunks_exact(self.row_bytes as usize)
            .flat_map(|row| &row[..4 * width as usize])
            .copied()
            .collect();
        drop(rows);
        self.readback.unmap();
        Ok(Image { width, height, rgba })
    }
}
