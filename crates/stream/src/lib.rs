//! Sans-IO delivery: group cache, sender, adaptation, receiver, clock synchronisation, jitter buffer.
