//! What travels between server and headset: messages, codecs, typed ids and clocks. No I/O.
