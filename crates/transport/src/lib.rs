//! Link and its adapters: QUIC (quinn), WebTransport (wtransport), simulated; UDP impairment proxy.
