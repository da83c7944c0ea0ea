//! The importer over files of every format: sound ones, and ones that lie.
#![allow(clippy::unwrap_used, reason = "tests")]

mod command;
mod details;
mod formats;
mod hostile;
mod large;
mod places;
mod samples;
