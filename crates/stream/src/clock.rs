//! Keeps a headset's estimate of server time: offset and skew from pings.
