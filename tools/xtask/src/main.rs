//! The project's own commands: demo, test, dist, check.

fn main() {}
