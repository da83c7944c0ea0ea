//! Makes surfaces of points.

pub(crate) mod foliage;
pub(crate) mod ground;
pub(crate) mod object;
pub(crate) mod surfels;
