//! Builds the scenes of Yuzhong's sights from published dimensions.
