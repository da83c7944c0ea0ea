//! Bad networks: a seeded model of a path, and a UDP proxy that real connections can be led through.

mod path;
mod proxy;

pub use path::{Fate, Impairment, Path};
pub use proxy::{DirectionStats, Proxy, ProxyStats};
