//! The working folder of an import, beside its target: what is finished in it survives a crash, and the target appears
//! whole or not at all.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Options};

/// What is written first, so that `--resume` knows whose folder it is.
const JOB: &str = "job.txt";
/// Layout of what is kept in a working folder; another program's folder is not resumed.
const LAYOUT: u32 = 1;

/// The working folder of one import.
#[derive(Debug)]
pub struct Job {
    folder: PathBuf,
    target: PathBuf,
    /// Held as long as the import runs.
    _lock: File,
    resumed: bool,
}

impl Job {
    /// The working folder that belongs to a target.
    #[must_use]
    pub fn folder_for(target: &Path) -> PathBuf {
        beside(target, "import")
    }

    /// Begins an import, or goes on with one that was interrupted.
    ///
    /// # Errors
    /// [`Error`] where another import writes the same target, where what was interrupted had other inputs or options,
    /// or where the folder can not be made.
    pub fn open(target: &Path, inputs: &[PathBuf], options: &Options, resume: bool) -> Result<Self, Error> {
        let folder = Self::folder_for(target);
        let io = |source| Error::Io {
            file: folder.clone(),
            source,
        };
        fs::create_dir_all(&folder).map_err(io)?;
        let lock = File::create(folder.join("lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let fault = format!("another import is writing {}", target.display());
                return Err(Error::Option { option: "--out", fault });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let wanted = identity(inputs, options);
        let found = fs::read_to_string(folder.join(JOB)).ok();
        let resumed = resume && found.is_some();
        if resumed && found.as_deref() != Some(&wanted) {
            return Err(Error::Option {
                option: "--resume",
                fault: format!(
                    "what was interrupted in {} had other inputs or options; without --resume it begins again",
                    folder.display()
                ),
            });
        }
        let job = Self {
            folder,
            target: target.to_owned(),
            _lock: lock,
            resumed,
        };
        if !resumed {
            job.clear()?;
            job.keep(JOB, wanted.as_bytes())?;
        }
        fs::create_dir_all(job.out()).map_err(|source| job.io(source))?;
        Ok(job)
    }

    /// Takes out everything but the lock.
    fn clear(&self) -> Result<(), Error> {
        let entries = fs::read_dir(&self.folder).map_err(|e| self.io(e))?;
        for entry in entries {
            let path = entry.map_err(|e| self.io(e))?.path();
            if path.file_name().is_some_and(|n| n == "lock") {
                continue;
            }
            let gone = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            gone.map_err(|e| self.io(e))?;
        }
        Ok(())
    }

    /// Goes on with what was interrupted.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Where the scene is written; it takes the target's name once it is whole.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.folder.join("out")
    }

    /// A path in the working folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What a finished stage left behind, if it has been finished.
    pub(crate) fn finished<T: DeserializeOwned>(&self, stage: &str) -> Option<T> {
        let text = fs::read(self.path(&format!("{stage}.json"))).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// A stage is finished: all that it wrote is there.
    pub(crate) fn finish<T: Serialize>(&self, stage: &str, what: &T) -> Result<(), Error> {
        let text = serde_json::to_vec(what).map_err(|e| self.io(e.into()))?;
        self.keep(&format!("{stage}.json"), &text)
    }

    /// Writes a file of the working folder whole or not at all.
    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let (partial, path) = (self.path(&format!("{name}.partial")), self.path(name));
        fs::write(&partial, bytes)
            .and_then(|()| fs::rename(&partial, &path))
            .map_err(|e| self.io(e))
    }

    pub(crate) fn io(&self, source: std::io::Error) -> Error {
        Error::Io {
            file: self.folder.clone(),
            source,
        }
    }

    /// Puts what is in [`Job::out`] in the place of the target and removes the working folder.
    ///
    /// # Errors
    /// [`Error::Io`]; then what was there before is still there.
    pub fn commit(self) -> Result<(), Error> {
        let out = self.out();
        let old = beside(&self.target, "old");
        let io = |source| Error::Io {
            file: self.target.clone(),
            source,
        };
        if old.exists() {
            fs::remove_dir_all(&old).map_err(io)?;
        }
        if self.target.exists() {
            fs::rename(&self.target, &old).map_err(io)?;
        }
        if let Err(source) = fs::rename(&out, &self.target) {
            // What was there comes back; the first fault is the one to report.
            let _ = fs::rename(&old, &self.target);
            return Err(io(source));
        }
        if old.exists() {
            fs::remove_dir_all(&old).map_err(io)?;
        }
        self.abandon();
        Ok(())
    }

    /// Puts one file of [`Job::out`] in the place of the target and removes the working folder.
    ///
    /// # Errors
    /// [`Error::Io`]; then what was there before is still there.
    pub fn commit_file(self, name: &str) -> Result<(), Error> {
        fs::rename(self.out().join(name), &self.target).map_err(|source| Error::Io {
            file: self.target.clone(),
            source,
        })?;
        self.abandon();
        Ok(())
    }

    /// Whether a stage has been finished in a working folder, so that another run can go on with it.
    #[must_use]
    pub fn is_worth_keeping(folder: &Path) -> bool {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|e| e.path())
            .any(|p| p.extension().is_some_and(|e| e == "json"))
    }

    /// Removes the working folder.
    pub fn abandon(self) {
        // What is left over is named after the target and hidden.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What must be the same for an import to go on: program, inputs as they lie on disk, options that change the outcome.
fn identity(inputs: &[PathBuf], options: &Options) -> String {
    let mut out = format!("{} {LAYOUT}\n", env!("CARGO_PKG_VERSION"));
    for input in inputs {
        let meta = fs::metadata(input).ok();
        let changed = meta.as_ref().and_then(|m| m.modified().ok());
        let changed = changed
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
            .map(|t| t.as_nanos());
        let path = fs::canonicalize(input).unwrap_or_else(|_| input.clone());
        out += &format!("{} {:?} {changed:?}\n", path.display(), meta.map(|m| m.len()));
    }
    // Threads and memory change how it is done, not what is made.
    let same = Options {
        threads: 1,
        memory: 0,
        ..options.clone()
    };
    out + &format!("{same:?}\n")
}

/// A hidden name beside a path.
fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.{what}"))
}
