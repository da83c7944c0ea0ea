//! A real browser joins over WebTransport.
