//! What can be wrong with a scan.

use std::path::PathBuf;

/// A scan that can not be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can not be opened, or is not LAS or LAZ, or breaks off.
    #[error("{}: {source}", file.display())]
    Las {
        /// The scan.
        file: PathBuf,
        /// What the reader says.
        source: las::Error,
    },
    /// The file is readable, but what it says makes no sense or is not supported.
    #[error("{}: {fault}", file.display())]
    Scan {
        /// The scan.
        file: PathBuf,
        /// What is wrong.
        fault: String,
    },
    /// The surface can not be built.
    #[error("{}: surface: {fault}", file.display())]
    Surface {
        /// The scan.
        file: PathBuf,
        /// What the triangulation says.
        fault: String,
    },
}
