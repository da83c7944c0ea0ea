//! What can be wrong with an input, its options or its output.

use std::path::PathBuf;

use crate::budget::bytes_text;

/// Something that ends an import. The message names the file, the place in it and the fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system can not read or write a file.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is damaged, or says what makes no sense, or what is not supported.
    #[error("{}: {place}: {fault}", file.display())]
    Input {
        /// The file.
        file: PathBuf,
        /// Where in it: `header`, `line 27`, `byte 1200`, `point 4`.
        place: String,
        /// What is wrong there.
        fault: String,
    },
    /// An option makes no sense, alone or with this input.
    #[error("{option}: {fault}")]
    Option {
        /// The option, such as `--crs`.
        option: &'static str,
        /// What is wrong with its value.
        fault: String,
    },
    /// It would take more memory than it may.
    #[error("{what}: would need about {} of memory, allowed are {} (--max-memory): {advice}", bytes_text(*needed), bytes_text(*limit))]
    Memory {
        /// Bytes that it would take.
        needed: u64,
        /// Bytes that it may take.
        limit: u64,
        /// The inputs, or the one being read.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// A scene can not be added to a tour.
    #[error("add: {fault}")]
    Add {
        /// Why.
        fault: String,
    },
    /// A picture can not be made.
    #[error("preview: {fault}")]
    Preview {
        /// Why.
        fault: String,
    },
    /// The scene can not be written, or one that is to be read is not valid.
    #[error(transparent)]
    Scene(#[from] tongyou_scene::Error),
}
