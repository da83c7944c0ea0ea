//! The device that presents, and turning wgpu's ways of failing into errors.

use super::{Error, Result};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the device may take for one submission.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Which adapter to take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Adapter {
    /// A GPU if there is one, a software driver otherwise.
    #[default]
    Best,
    /// A software driver, for pictures that are the same on every machine of a kind.
    Software,
}

/// Device and queue.
#[derive(Debug)]
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    name: String,
    is_software: bool,
    fault: Arc<Mutex<Option<String>>>,
}

impl Gpu {
    /// A device that draws off-screen.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoDevice`].
    pub fn new(preference: Adapter) -> Result<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        let found: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
        if preference == Adapter::Software {
            adapters.retain(|a| a.get_info().device_type == wgpu::DeviceType::Cpu);
        }
        adapters.sort_by_key(|a| match a.get_info().device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        });
        let adapter = adapters
            .into_iter()
            .next()
            .ok_or_else(|| Error::NoAdapter(format!("wanted {preference:?}, found {found:?}")))?;
        Self::of(&adapter)
    }

    /// A device of an adapter.
    ///
    /// # Errors
    /// [`Error::NoDevice`].
    pub fn of(adapter: &wgpu::Adapter) -> Result<Self> {
        let info = adapter.get_info();
        let name = format!("{} ({:?}, {})", info.name, info.backend, info.driver_info);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("tongyou present"),
            required_limits: wgpu::Limits::default().using_resolution(adapter.limits()),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).map_err(|e| Error::NoDevice {
            adapter: name.clone(),
            message: e.to_string(),
        })?;
        let fault = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&fault);
        device.set_device_lost_callback(move |reason, message| {
            lock(&slot).get_or_insert_with(|| format!("the device is lost: {reason:?}: {message}"));
        });
        let slot = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |e| {
            lock(&slot).get_or_insert_with(|| e.to_string());
        }));
        Ok(Self {
            device,
            queue,
            name,
            is_software: info.device_type == wgpu::DeviceType::Cpu,
            fault,
        })
    }

    /// The adapter, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a processor does the drawing.
    #[must_use]
    pub const fn is_software(&self) -> bool {
        self.is_software
    }

    /// What went wrong since the last time, if anything did.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub fn check(&self, doing: &'static str) -> Result<()> {
        match lock(&self.fault).take() {
            Some(message) => Err(Error::Gpu { doing, message }),
            None => Ok(()),
        }
    }

    /// Waits until everything that was submitted is done.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub fn wait(&self, doing: &'static str) -> Result<()> {
        let polled = self.device.poll(wgpu::PollType::Wait {
            submission_index: None,
            timeout: Some(TIMEOUT),
        });
        self.check(doing)?;
        polled.map(|_| ()).map_err(|e| Error::Gpu {
            doing,
            message: e.to_string(),
        })
    }
}

fn lock(fault: &Mutex<Option<String>>) -> std::sync::MutexGuard<'_, Option<String>> {
    // A panic elsewhere leaves an option as valid as it was.
    fault.lock().unwrap_or_else(PoisonError::into_inner)
}
