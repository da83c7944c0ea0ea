//! Simulation, golden images and end-to-end tests of the whole line.
