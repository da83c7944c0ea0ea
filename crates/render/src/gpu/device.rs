//! Finding an adapter, and turning wgpu's ways of failing into errors.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wgpu::{DeviceDescriptor, ErrorFilter, Features, InstanceDescriptor, PollType};

use crate::{Error, Result};

/// How long the device may take for one submission.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Which adapter to take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Adapter {
    /// A GPU if there is one, a software driver otherwise.
    #[default]
    Best,
    /// A GPU; a software driver is an error.
    Hardware,
    /// A software driver, for pictures that are the same on every machine of a kind.
    Software,
}

/// Device, queue, and what went wrong outside a call.
pub(crate) struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) adapter: String,
    /// A driver that draws on the processor.
    pub(crate) software: bool,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Default)]
struct Faults {
    lost: Option<String>,
    uncaptured: Option<String>,
}

impl Gpu {
    pub(crate) fn new(preference: Adapter) -> Result<Self> {
        let instance = wgpu::Instance::new(InstanceDescriptor::new_without_display_handle_from_env());
        let adapter = choose(&instance, preference)?;
        let info = adapter.get_info();
        let name = format!("{} ({:?}, {})", info.name, info.backend, info.driver_info);
        // Geometry and pixel buffers may need all that the adapter has.
        let required_limits = adapter.limits();
        let (device, queue) = pollster::block_on(adapter.request_device(&DeviceDescriptor {
            label: Some("tongyou"),
            required_features: Features::PRIMITIVE_INDEX,
            required_limits,
            ..DeviceDescriptor::default()
        }))
        .map_err(|e| Error::NoDevice {
            adapter: name.clone(),
            message: e.to_string(),
        })?;
        let faults = Arc::new(Mutex::new(Faults::default()));
        let slot = Arc::clone(&faults);
        device.set_device_lost_callback(move |reason, message| {
            lock(&slot).lost = Some(format!("{reason:?}: {message}"));
        });
        let slot = Arc::clone(&faults);
        device.on_uncaptured_error(Arc::new(move |e| {
            lock(&slot).uncaptured.get_or_insert_with(|| e.to_string());
        }));
        Ok(Self {
            device,
            queue,
            adapter: name,
            software: info.device_type == wgpu::DeviceType::Cpu,
            faults,
        })
    }

    /// A buffer with contents, whose length is a multiple of four. wgpu's own helper panics on a lost device.
    pub(crate) fn filled_buffer(
        &self,
        label: &'static str,
        contents: &[u8],
        usage: wgpu::BufferUsages,
    ) -> wgpu::Buffer {
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: contents.len() as u64,
            usage: usage | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, contents);
        buffer
    }

    /// Runs wgpu calls and reports what they raised.
    pub(crate) fn guarded<T>(&self, doing: &'static str, calls: impl FnOnce() -> Result<T>) -> Result<T> {
        let memory = self.device.push_error_scope(ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(ErrorFilter::Validation);
        let internal = self.device.push_error_scope(ErrorFilter::Internal);
        let result = calls();
        let internal = pollster::block_on(internal.pop());
        let validation = pollster::block_on(validation.pop());
        let memory = pollster::block_on(memory.pop());
        self.check(doing)?;
        if memory.is_some() {
            return Err(Error::OutOfMemory(doing));
        }
        if let Some(e) = validation.or(internal) {
            return Err(Error::Gpu {
                doing,
                message: e.to_string(),
            });
        }
        result
    }

    /// Waits for a submission.
    pub(crate) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let wait = PollType::Wait {
            submission_index: Some(submission),
            timeout: Some(TIMEOUT),
        };
        let polled = self.device.poll(wait);
        self.check("waiting for the device")?;
        match polled {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => Err(Error::Timeout(TIMEOUT.as_secs())),
            Err(e) => Err(Error::Gpu {
                doing: "waiting for the device",
                message: e.to_string(),
            }),
        }
    }

    fn check(&self, doing: &'static str) -> Result<()> {
        let mut faults = lock(&self.faults);
        if let Some(message) = &faults.lost {
            return Err(Error::DeviceLost(message.clone()));
        }
        match faults.uncaptured.take() {
            Some(message) => Err(Error::Gpu { doing, message }),
            None => Ok(()),
        }
    }
}

fn lock(faults: &Mutex<Faults>) -> std::sync::MutexGuard<'_, Faults> {
    // A panic elsewhere leaves these two options as valid as they were.
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}

fn choose(instance: &wgpu::Instance, preference: Adapter) -> Result<wgpu::Adapter> {
    let is_software = |a: &wgpu::Adapter| a.get_info().device_type == wgpu::DeviceType::Cpu;
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let found: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
    adapters.retain(|a| a.features().contains(Features::PRIMITIVE_INDEX));
    match preference {
        Adapter::Best => {}
        Adapter::Hardware => adapters.retain(|a| !is_software(a)),
        Adapter::Software => adapters.retain(is_software),
    }
    adapters.sort_by_key(|a| match a.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    adapters.into_iter().next().ok_or_else(|| {
        Error::NoAdapter(format!(
            "wanted {preference:?} with Vulkan and primitive_index, found {found:?}"
        ))
    })
}
