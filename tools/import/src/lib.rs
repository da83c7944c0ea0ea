//! Turns scans into glTF scenes.
