//! Puts frames together into complete sets.
