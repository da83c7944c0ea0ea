//! The headset's core without a browser: joins a tour over QUIC; headless or in a window.
