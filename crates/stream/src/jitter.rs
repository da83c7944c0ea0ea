//! Plays the poses of others smoothly from packets that arrive unevenly.
