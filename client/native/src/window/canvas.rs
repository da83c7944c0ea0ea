//! The window's surface and the device that draws on it.

use crate::present::{Error, Gpu, Presenter, Result, Target};
use std::sync::Arc;
use winit::window::Window;

pub(super) struct Canvas {
    pub(super) gpu: Gpu,
    pub(super) presenter: Presenter,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    target: Option<Target>,
}

impl Canvas {
    pub(super) fn new(window: Arc<Window>) -> Result<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let size = window.inner_size();
        let surface = instance
            .create_surface(window)
            .map_err(|e| Error::NoSurface(e.to_string()))?;
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            compatible_surface: Some(&surface),
            ..wgpu::RequestAdapterOptions::default()
        }))
        .map_err(|e| Error::NoAdapter(e.to_string()))?;
        let gpu = Gpu::of(&adapter)?;
        let mut config = surface
            .get_default_config(&adapter, size.width.max(1), size.height.max(1))
            .ok_or_else(|| Error::NoSurface(format!("{} can not draw on it", gpu.name())))?;
        // Pictures come as display values; an sRGB format would encode them once more.
        config.format = surface
            .get_capabilities(&adapter)
            .formats
            .into_iter()
            .find(|f| !f.is_srgb())
            .ok_or_else(|| Error::NoSurface("it has sRGB formats only".to_owned()))?;
        config.present_mode = wgpu::PresentMode::AutoVsync;
        config.desired_maximum_frame_latency = 1;
        let presenter = Presenter::new(&gpu, config.format);
        gpu.check("making pipelines")?;
        let mut canvas = Self {
            gpu,
            presenter,
            surface,
            config,
            target: None,
        };
        canvas.resize(size.width, size.height)?;
        Ok(canvas)
    }

    /// A window without a size is not drawn.
    pub(super) fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        self.target = None;
        if width == 0 || height == 0 {
            return Ok(());
        }
        (self.config.width, self.config.height) = (width, height);
        self.surface.configure(&self.gpu.device, &self.config);
        self.target = Some(Target::new(&self.gpu, width, height)?);
        self.gpu.check("resizing the window")
    }

    /// Pixels across and down.
    pub(super) fn size(&self) -> Option<(u32, u32)> {
        self.target.as_ref().map(Target::size)
    }

    /// Draws a frame and gives it to the display; false where there is nothing to draw on now.
    pub(super) fn present(
        &mut self,
        draw: impl FnOnce(&Gpu, &mut Presenter, &wgpu::TextureView, &Target),
    ) -> Result<bool> {
        let Some(target) = &self.target else { return Ok(false) };
        let texture = match self.surface.get_current_texture() {
            wgpu::CurrentSurfaceTexture::Success(t) | wgpu::CurrentSurfaceTexture::Suboptimal(t) => t,
            wgpu::CurrentSurfaceTexture::Outdated | wgpu::CurrentSurfaceTexture::Lost => {
                self.surface.configure(&self.gpu.device, &self.config);
                self.gpu.check("configuring the window")?;
                return Ok(false);
            }
            _ => {
                self.gpu.check("taking the next frame")?;
                return Ok(false);
            }
        };
        let view = texture.texture.create_view(&wgpu::TextureViewDescriptor::default());
        draw(&self.gpu, &mut self.presenter, &view, target);
        self.gpu.queue.present(texture);
        self.gpu.check("presenting")?;
        Ok(true)
    }
}
