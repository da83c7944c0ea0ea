//! glTF scenes, tours, stops and animation as plain data. Knows no GPU.

mod model;

pub use model::*;
