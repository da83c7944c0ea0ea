//! Pictures: read, rendered directly, compared with FLIP.
