//! The server's stamps of poses and sets, read from its log.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// What stands before a stamp in a line of the log.
const MARK: &str = "tongyou_server::stamps: ";

/// When a pose went through the server, microseconds of server time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoseTimes {
    /// Read from its link.
    pub read: i64,
    /// Taken by the tick thread.
    pub taken: i64,
}

/// When a set went through the server, microseconds of server time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetTimes {
    /// The tick that wanted it.
    pub wanted: i64,
    /// Drawing began.
    pub started: i64,
    /// Drawing ended.
    pub rendered: i64,
    /// Coding ended.
    pub encoded: i64,
}

/// All stamps of a run.
#[derive(Debug, Default)]
pub struct Stamps {
    /// By link and time of the pose in units of 100 µs.
    pub poses: BTreeMap<(u64, u32), PoseTimes>,
    /// When a pose was first handed to a link: by link, headset and time of the pose.
    pub avatars: BTreeMap<(u64, u16, u32), i64>,
    /// By set.
    pub sets: BTreeMap<u32, SetTimes>,
    /// When the first frame of a set was handed to a link: by link and set.
    pub frames: BTreeMap<(u64, u32), i64>,
}

impl Stamps {
    /// Takes the stamps out of a log.
    ///
    /// # Errors
    /// When a stamp lacks a number.
    pub fn read(log: &[String]) -> Result<Self> {
        let mut stamps = Self::default();
        for line in log {
            if let Some((_, stamp)) = line.split_once(MARK) {
                stamps
                    .take(stamp)
                    .with_context(|| format!("in the server's log: {line}"))?;
            }
        }
        Ok(stamps)
    }

    fn take(&mut self, stamp: &str) -> Result<()> {
        let (kind, fields) = stamp.split_once(' ').context("no fields")?;
        let field = |name: &str| {
            let mut values = fields.split(' ').filter_map(|f| f.split_once('='));
            let value = values
                .find(|(key, _)| *key == name)
                .with_context(|| format!("no {name}"))?;
            value.1.parse::<i64>().with_context(|| format!("{name}={}", value.1))
        };
        let link = || Ok::<_, anyhow::Error>(u64::try_from(field("link")?)?);
        let set = || Ok::<_, anyhow::Error>(u32::try_from(field("set")?)?);
        let time = || Ok::<_, anyhow::Error>(u32::try_from(field("time_100us")?)?);
        match kind {
            "pose" => {
                let times = PoseTimes {
                    read: field("read")?,
                    taken: field("taken")?,
                };
                self.poses.insert((link()?, time()?), times);
            }
            "avatar" => {
                let who = u16::try_from(field("headset")?)?;
                self.avatars.entry((link()?, who, time()?)).or_insert(field("at")?);
            }
            "set" => {
                let times = SetTimes {
                    wanted: field("wanted")?,
                    started: field("started")?,
                    rendered: field("rendered")?,
                    encoded: field("encoded")?,
                };
                self.sets.insert(set()?, times);
            }
            "frame" => {
                self.frames.entry((link()?, set()?)).or_insert(field("at")?);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_among_other_lines() {
        let log: Vec<String> = [
            "2026-11-23T17:00:00Z  INFO tongyou_server: something else",
            "2026-11-23T17:00:00Z TRACE tongyou_server::stamps: pose link=2 time_100us=70 read=7100 taken=7150",
            "2026-11-23T17:00:00Z TRACE tongyou_server::stamps: avatar link=1 headset=2 time_100us=70 at=8000",
            "2026-11-23T17:00:00Z TRACE tongyou_server::stamps: avatar link=1 headset=2 time_100us=70 at=9000",
            "2026-11-23T17:00:00Z TRACE tongyou_server::stamps: set session=1 vantage=1 set=5 wanted=1 started=2 rendered=3 encoded=4",
            "2026-11-23T17:00:00Z TRACE tongyou_server::stamps: frame link=1 set=5 lane=\"depth\" at=6",
            "2026-11-23T17:00:00Z TRACE tongyou_server::stamps: frame link=1 set=5 lane=\"color\" at=7",
        ]
        .map(str::to_owned)
        .into();
        let stamps = Stamps::read(&log).unwrap();
        let pose = PoseTimes {
            read: 7100,
            taken: 7150,
        };
        assert_eq!(stamps.poses[&(2, 70)], pose);
        assert_eq!(stamps.avatars[&(1, 2, 70)], 8000);
        assert_eq!(stamps.sets[&5].encoded, 4);
        assert_eq!(stamps.frames[&(1, 5)], 6);
        let broken = ["x tongyou_server::stamps: set set=5 wanted=1".to_owned()];
        assert!(Stamps::read(&broken).is_err());
    }
}
