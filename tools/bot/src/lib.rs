//! Headless headsets over real QUIC that move like people and check what they receive.
