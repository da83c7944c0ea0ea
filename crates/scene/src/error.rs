//! What can be wrong with a scene or a tour, and where.

use std::path::PathBuf;

/// A scene or a tour that can not be used. The message names the file, the place in it and the fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can not be read.
    #[error("{}: {reason}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says; part of the message, so that it is not a source beside it.
        reason: std::io::Error,
    },
    /// The scene file breaks a rule of glTF, or of what this project accepts.
    #[error("{file}: {place}: {fault}")]
    Scene {
        /// The file, as the caller named it.
        file: String,
        /// The object in the file, such as `mesh 3 "roof", primitive 0, POSITION`.
        place: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The scene is larger than the caller allows.
    #[error("{file}: {place}: {count} {what} are more than the allowed {limit}")]
    Limit {
        /// The file, as the caller named it.
        file: String,
        /// The object that crosses the limit.
        place: String,
        /// What is counted.
        what: &'static str,
        /// How many there would be.
        count: u64,
        /// How many may be.
        limit: u64,
    },
    /// The tour file is not TOML, or its keys and types are wrong; the message shows line and column.
    #[error("{file}: {message}")]
    TourSyntax {
        /// The file, as the caller named it.
        file: String,
        /// The parser's message, with the line.
        message: String,
    },
    /// A value in the tour makes no sense.
    #[error("{file}:{line}: {place}: {fault}")]
    Tour {
        /// The file, as the caller named it.
        file: String,
        /// Line in the file, from 1; 0 where it is not known.
        line: usize,
        /// The key, such as `stops[1].cells[0].eye`.
        place: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The scene can not be expressed as a GLB.
    #[error("{place}: {fault}")]
    Write {
        /// The object in the scene.
        place: String,
        /// Why it can not be written.
        fault: String,
    },
}
