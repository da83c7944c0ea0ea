//! Takes out what is not part of the scanned thing.

pub(crate) mod mesh;
pub(crate) mod points;
