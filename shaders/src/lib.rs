//! The WGSL sources, embedded and validated.
