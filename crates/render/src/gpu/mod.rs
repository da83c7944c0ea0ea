//! The one GPU executor: a plan goes in as one submission, frames come out.

mod device;
mod executor;
mod layout;
mod mips;
mod passes;
mod pictures;
mod pipelines;
mod scene;
mod shadow;
mod target;
mod textures;
mod vantage;

pub use device::Adapter;
pub use executor::{Config, Executor, Frame, Submission};
