//! The ticket on disk with which a visitor comes back to the same place, also after the program was killed.
//!
//! One file for each server, session and name, held locked as long as the program runs: a second program that was started
//! alike is another visitor, and a killed one lets go of its lock.

use crate::core::{Event, Headset};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use tongyou_protocol::ResumeTicket;

/// Names of files stay below what file systems take.
const LONGEST_NAME: usize = 120;

/// A ticket that outlives the program.
#[derive(Debug)]
pub struct Ticket {
    path: PathBuf,
    file: File,
    kept: Option<ResumeTicket>,
}

/// Why a ticket can not be kept.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}; the place of this visit can not be kept (--no-resume does not try)", path.display())]
pub struct Error {
    /// The file or folder.
    path: PathBuf,
    source: std::io::Error,
}

impl Ticket {
    /// Opens the file of a visit in a folder, which is made where it is missing. `None` where another program, which is
    /// still running, has it: this is another visitor.
    ///
    /// # Errors
    /// When folder or file can not be made or read.
    pub fn open(folder: &Path, server: &str, code: &str, name: &str) -> Result<Option<Self>, Error> {
        let failed = |path: &Path, source| Error {
            path: path.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
        let path = folder.join(file_name(server, code, name));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(|e| failed(&path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(failed(&path, source)),
        }
        let mut bytes = Vec::new();
        (&mut file)
            .take(64)
            .read_to_end(&mut bytes)
            .map_err(|e| failed(&path, e))?;
        // What is not a ticket, half of one for example, is none.
        let kept = <[u8; 16]>::try_from(bytes.as_slice()).ok().map(ResumeTicket);
        Ok(Some(Self { path, file, kept }))
    }

    /// The ticket of the visit before.
    #[must_use]
    pub const fn kept(&self) -> Option<ResumeTicket> {
        self.kept
    }

    /// Keeps the newest ticket, and forgets it when the visit is over for good.
    pub fn on_event(&mut self, event: &Event, headset: &Headset) {
        match event {
            Event::Welcome { .. } => self.keep(headset.resume_ticket()),
            Event::Refused { .. } | Event::Ended { .. } => self.keep(None),
            _ => {}
        }
    }

    /// Keeps a ticket, or forgets the one that is kept: who leaves gives up the place.
    pub fn keep(&mut self, ticket: Option<ResumeTicket>) {
        if ticket == self.kept {
            return;
        }
        self.kept = ticket;
        if let Err(error) = self.write() {
            tracing::warn!(%error, path = %self.path.display(), "the place of this visit can not be kept");
        }
    }

    fn write(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        if let Some(ticket) = self.kept {
            self.file.write_all(&ticket.0)?;
        }
        self.file.flush()
    }
}

/// The user's folder for what programs want to remember.
#[must_use]
pub fn state_folder() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = of("XDG_STATE_HOME")
        .or_else(|| of("LOCALAPPDATA"))
        .or_else(|| Some(of("HOME")?.join(".local/state")))?;
    Some(base.join("tongyou"))
}

/// Readable, and the same for the same visit only.
fn file_name(server: &str, code: &str, name: &str) -> String {
    let plain = |text: &str| -> String {
        let one = |c: char| match c {
            c if c.is_ascii_alphanumeric() || c == '.' => c.to_string(),
            c => format!("-{:x}-", u32::from(c)),
        };
        text.chars().map(one).collect()
    };
    let mut out = [server, code, name].map(plain).join("~");
    if out.len() > LONGEST_NAME {
        // FNV-1a of the rest.
        let rest = out.split_off(LONGEST_NAME - 17);
        let hash = rest.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        out.push_str(&format!("-{hash:016x}"));
    }
    out.push_str(".ticket");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_program_kept_the_next_one_has_and_two_at_once_do_not_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Ticket::open(folder.path(), "example.org:4433", "BCDF-GHJK", "小林 Lin").unwrap();
        let mut first = open().unwrap();
        assert_eq!(first.kept(), None);
        first.keep(Some(ResumeTicket([5; 16])));
        assert!(open().is_none(), "the first one still runs");
        drop(first);
        let mut second = open().unwrap();
        assert_eq!(second.kept(), Some(ResumeTicket([5; 16])));
        second.keep(None);
        drop(second);
        assert_eq!(open().unwrap().kept(), None, "who left has given it up");
    }

    #[test]
    fn half_a_ticket_is_none_and_other_visits_have_other_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file_name("s:1", "CODE", "n")), [1; 9]).unwrap();
        let visit = Ticket::open(folder.path(), "s:1", "CODE", "n").unwrap().unwrap();
        assert_eq!(visit.kept(), None);
        let long = "林".repeat(60);
        let names = [
            file_name("s:1", "CODE", "n"),
            file_name("s:1", "CODE", "m"),
            file_name("s:2", "CODE", "n"),
            file_name("s", "1~CODE", "n"),
            file_name("s:1", "CODE", &long),
            file_name("s:1", "CODE", &format!("{long}x")),
        ];
        let different: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
        assert!(names.iter().all(|n| n.len() < 160 && n.is_ascii()));
        let nowhere = folder.path().join(&names[0]).join("below a file");
        let error = Ticket::open(&nowhere, "s", "c", "n").unwrap_err().to_string();
        assert!(
            error.contains("below a file") && error.contains("--no-resume"),
            "{error}"
        );
    }
}
