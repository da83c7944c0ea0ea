//! An input file: its path, its length, its first bytes and how faults in it are reported.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crate::{Error, Format, detect};

/// How much of the beginning decides on the format.
const HEAD: u64 = 4096;

/// A file to read, its format already known.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// What it is, by content.
    pub format: Format,
    /// The first bytes, at most 4096.
    pub head: Vec<u8>,
}

impl Source {
    /// Looks at the first bytes of a file.
    ///
    /// # Errors
    /// [`Error`] where it can not be read, is not a regular file, or is of no known format.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io {
            file: path.to_owned(),
            source,
        };
        let meta = std::fs::metadata(path).map_err(io)?;
        if !meta.is_file() {
            return Err(input(path, "file", "is not a regular file"));
        }
        let mut head = Vec::new();
        File::open(path)
            .map_err(io)?
            .take(HEAD)
            .read_to_end(&mut head)
            .map_err(io)?;
        let format = detect::format(&head, meta.len()).ok_or_else(|| {
            let fault = if head.is_empty() {
                "is empty".to_owned()
            } else {
                format!(
                    "is of no known format; it begins with {:02x?}",
                    &head[..head.len().min(8)]
                )
            };
            input(path, "byte 0", fault)
        })?;
        Ok(Self {
            path: path.to_owned(),
            bytes: meta.len(),
            format,
            head,
        })
    }

    /// A buffered reader from the beginning.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn reader(&self) -> Result<BufReader<File>, Error> {
        let file = File::open(&self.path).map_err(|source| self.io(source))?;
        Ok(BufReader::with_capacity(1 << 18, file))
    }

    /// A fault of the system at this file.
    pub(crate) fn io(&self, source: std::io::Error) -> Error {
        Error::Io {
            file: self.path.clone(),
            source,
        }
    }

    /// A fault in this file.
    pub(crate) fn fault(&self, place: impl Into<String>, fault: impl Into<String>) -> Error {
        input(&self.path, place, fault)
    }

    /// Refuses a count of things that each take at least `each` bits of this file's bytes: such a count is forged.
    pub(crate) fn believable(&self, place: &str, what: &str, count: u64, each_bits: u64) -> Result<(), Error> {
        if count.saturating_mul(each_bits) <= self.bytes.saturating_mul(8) {
            return Ok(());
        }
        Err(self.fault(
            place,
            format!("promises {count} {what} in a file of {} bytes", self.bytes),
        ))
    }
}

/// A fault in a file.
pub(crate) fn input(file: &Path, place: impl Into<String>, fault: impl Into<String>) -> Error {
    Error::Input {
        file: file.to_owned(),
        place: place.into(),
        fault: fault.into(),
    }
}
