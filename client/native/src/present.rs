//! Presenting: the newest complete set, warped by depth from the rendered point to an eye. `docs/presenting.md` is the
//! description that the page follows too.
//!
//! [`Set`]s are made on any thread, a [`Layer`] holds those of one vantage on the GPU, a [`Presenter`] draws layers,
//! [`Locals`] and [`Figure`]s for an [`Eye`]; [`Offscreen`] does all that without a window.

mod eye;
mod figures;
mod gpu;
mod layer;
mod layout;
mod locals;
mod mesh;
mod offscreen;
mod pipelines;
mod presenter;
mod relief;
mod set;
mod sharp;
mod textures;

pub use eye::Eye;
pub use figures::{Figure, Joint, Ring, Things};
pub use gpu::{Adapter, Gpu};
pub use layer::Layer;
pub use locals::Locals;
pub use mesh::{FaceMesh, GRID, Relief};
pub use offscreen::{Image, Offscreen};
pub use presenter::{Presenter, Scene, Shown, Target};
pub use set::{Form, Set};

/// Why something can not be presented.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to draw with.
    #[error("no graphics adapter: {0}")]
    NoAdapter(String),
    /// The adapter does not give a device.
    #[error("no device on {adapter}: {message}")]
    NoDevice {
        /// The adapter.
        adapter: String,
        /// Why.
        message: String,
    },
    /// The device failed.
    #[error("{doing}: {message}")]
    Gpu {
        /// What was being done.
        doing: &'static str,
        /// What the device said.
        message: String,
    },
    /// A window has no surface that can be drawn on.
    #[error("no surface: {0}")]
    NoSurface(String),
    /// A set does not fit together.
    #[error("set {set}: {message}")]
    Set {
        /// Which.
        set: u32,
        /// What is wrong.
        message: String,
    },
    /// A picture has no size, or one that the device can not draw.
    #[error("a picture of {width} × {height} pixels")]
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
}

/// Of this module.
pub type Result<T> = std::result::Result<T, Error>;
