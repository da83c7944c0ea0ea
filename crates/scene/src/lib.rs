//! glTF scenes, tours, stops and animation as plain data. Knows no GPU.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod error;
mod glb;
mod lighting;
mod model;
mod relief;
mod seats;
mod tour;
mod write;

pub use error::Error;
pub use glb::{Limits, load_glb, read_glb, read_points};
pub use lighting::{Paint, Preset, StopLighting};
pub use model::*;
pub use relief::Relief;
pub use seats::{EYE_HEIGHT_M, Formation, Seat, guide_seat, seats};
pub use tour::{Anchor, Area, Cell, ClockTime, Stop, Text, Tour};
pub use write::write_glb;
