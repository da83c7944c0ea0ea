//! The Tongyou server: configuration, HTTP, threads, event loop.
