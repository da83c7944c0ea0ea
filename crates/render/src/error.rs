//! What can go wrong between a scene and its picture.

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No adapter does what is needed.
    #[error("no graphics adapter that can be used: {0}")]
    NoAdapter(String),
    /// The driver refused a device.
    #[error("graphics device of {adapter}: {message}")]
    NoDevice {
        /// Which adapter.
        adapter: String,
        /// The driver's words.
        message: String,
    },
    /// The device went away; a new [`crate::Executor`] is needed.
    #[error("graphics device lost: {0}")]
    DeviceLost(String),
    /// The device has no memory left for this.
    #[error("out of graphics memory while {0}")]
    OutOfMemory(&'static str),
    /// wgpu refused a call: a fault of this crate or of the driver.
    #[error("graphics error while {doing}: {message}")]
    Gpu {
        /// What was being done.
        doing: &'static str,
        /// wgpu's words.
        message: String,
    },
    /// The device did not finish in time.
    #[error("graphics device did not finish within {0} s")]
    Timeout(u64),
    /// The scene exceeds a limit of the device or of the format.
    #[error("scene {scene}: {what}: {actual}, at most {limit} are possible")]
    SceneTooLarge {
        /// The scene's name.
        scene: String,
        /// What there is too much of.
        what: &'static str,
        /// How much.
        actual: u64,
        /// The most.
        limit: u64,
    },
    /// The scene's data contradict themselves.
    #[error("scene {scene}: {what} refers to {target} {index}, there are {count}")]
    DanglingIndex {
        /// The scene's name.
        scene: String,
        /// Who refers.
        what: String,
        /// To what.
        target: &'static str,
        /// Its index.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A plan names a scene that this executor does not hold.
    #[error("plan names scene {0}, which this executor does not hold")]
    UnknownScene(u32),
}
