//! The sans-IO heart of a tour: who is here, roles, playhead, poses, cells.
