//! A bot's ticket on disk, as a headset keeps it.

use std::path::Path;

use tongyou_protocol::ResumeTicket;

/// The ticket of an earlier visit, if there is one. One that does not count any more is answered with another.
pub(crate) fn read(path: &Path) -> Option<ResumeTicket> {
    let bytes = std::fs::read(path).ok()?;
    Some(ResumeTicket(bytes.try_into().ok()?))
}

/// Keeps it for the next visit, in one step: who is killed meanwhile has the one or the other.
pub(crate) fn write(path: &Path, ticket: ResumeTicket) -> std::io::Result<()> {
    let next = path.with_extension("next");
    std::fs::write(&next, ticket.0)?;
    std::fs::rename(next, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_ticket_is_none() {
        let path = std::env::temp_dir().join(format!("tongyou-ticket-{}", std::process::id()));
        assert_eq!(read(&path), None);
        write(&path, ResumeTicket([7; 16])).unwrap();
        assert_eq!(read(&path), Some(ResumeTicket([7; 16])));
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(read(&path), None);
        std::fs::remove_file(&path).unwrap();
    }
}
