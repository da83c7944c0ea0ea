//! Video encoders and decoders behind traits.
