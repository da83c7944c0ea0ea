//! What bots tell at the end, as JSON.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// All bots' reports.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How long it ran.
    pub seconds: f64,
    /// Bots that were admitted.
    pub joined: usize,
    /// Sets completed by all bots together.
    pub sets_complete: u64,
    /// Sets missed by all bots together.
    pub sets_missed: u64,
    /// Different sets that any bot completed.
    pub distinct_sets: usize,
    /// Sets that every bot which joined completed.
    pub sets_seen_by_all: usize,
    /// Bytes of frames received by all bots together.
    pub bytes: u64,
    /// Largest difference between bots in the machine's time of applying the same stop change, milliseconds.
    pub stop_change_spread_ms: Option<f64>,
    /// Each bot.
    pub bots: Vec<BotReport>,
}

/// One bot's report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BotReport {
    /// Its name.
    pub name: String,
    /// Its id in the session, once admitted.
    pub headset: Option<u16>,
    /// Whether it leads now.
    pub guide: bool,
    /// Why it is no longer there, where it did not leave by itself.
    pub error: Option<String>,
    /// From the start of its visit to Welcome, milliseconds.
    pub joined_after_ms: Option<f64>,
    /// From the start of its visit to the first complete set, milliseconds.
    pub first_set_after_ms: Option<f64>,
    /// How often it lost the connection and came back.
    pub reconnected: u32,
    /// Sets.
    pub sets: Sets,
    /// Complete sets of other layers than the base, by layer.
    pub layers: BTreeMap<String, u64>,
    /// Frames whose checksum and layout were right.
    pub frames: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// From the end of rendering to a complete set, on the synced clock.
    pub age_ms: Ages,
    /// From the instant that a set shows to a complete set: rendering and encoding included.
    pub shown_age_ms: Ages,
    /// Colour and depth decoded in full.
    pub decoded: u64,
    /// Colour or depth that could not be decoded.
    pub decode_errors: u64,
    /// Messages, datagrams and frames that did not follow the protocol.
    pub malformed: u64,
    /// Sets whose tag contradicts the tour, the placement or the clock.
    pub wrong_tags: u64,
    /// The first few problems, in words.
    pub problems: Vec<String>,
    /// Stop changes carried out, the newest thousand.
    pub stop_changes: Vec<StopChange>,
    /// Stop changes carried out.
    pub stop_changes_applied: u64,
    /// Moves to another cell.
    pub moves: u64,
    /// Others whose poses arrived, at most at once.
    pub avatars_seen: usize,
    /// The clock at the end.
    pub clock: Clock,
}

/// What became of sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sets {
    /// Colour and depth were there.
    pub complete: u64,
    /// Known to exist, never complete.
    pub missed: u64,
    /// Frames that came too late.
    pub expired_frames: u64,
}

/// Ages of complete sets, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Ages {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// The synced clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Clock {
    /// Its own estimate of its error, milliseconds.
    pub error_ms: f64,
    /// How much faster the server's clock runs, parts per million.
    pub skew_ppm: f64,
}

/// A stop change as one bot carried it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StopChange {
    /// The epoch that began.
    pub epoch: u32,
    /// The stop.
    pub stop: u32,
    /// The agreed server time, microseconds.
    pub agreed_server_us: i64,
    /// When the bot applied it on its estimate of server time, microseconds.
    pub applied_server_us: i64,
    /// The machine's monotonic clock in the callback that applied it, microseconds.
    pub applied_machine_us: i64,
    /// The machine's clock at the first complete set of the stop that could be shown, microseconds.
    pub presented_machine_us: Option<i64>,
    /// Whether a complete set was there in time.
    pub complete: bool,
}

impl Report {
    pub(crate) fn new(elapsed: Duration, bots: Vec<BotReport>, sets: impl Iterator<Item = BTreeSet<u32>>) -> Self {
        let joined = |b: &BotReport| b.headset.is_some();
        let sets: Vec<BTreeSet<u32>> = sets.zip(&bots).filter(|(_, b)| joined(b)).map(|(s, _)| s).collect();
        let all: BTreeSet<u32> = sets.iter().flatten().copied().collect();
        Self {
            seconds: elapsed.as_secs_f64(),
            joined: bots.iter().filter(|b| joined(b)).count(),
            sets_complete: bots.iter().map(|b| b.sets.complete).sum(),
            sets_missed: bots.iter().map(|b| b.sets.missed).sum(),
            distinct_sets: all.len(),
            sets_seen_by_all: all.iter().filter(|set| sets.iter().all(|s| s.contains(set))).count(),
            bytes: bots.iter().map(|b| b.bytes).sum(),
            stop_change_spread_ms: spread_ms(&bots),
            bots,
        }
    }

    /// What was not as it should be, in words: bots that could not join, damaged or wrong data.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let of = |b: &BotReport| {
            let missing = (b.headset.is_none() && b.error.is_none()).then(|| "it was never admitted".to_owned());
            let all = b.error.iter().cloned().chain(missing).chain(b.problems.iter().cloned());
            all.map(|p| format!("{}: {p}", b.name)).collect::<Vec<_>>()
        };
        self.bots.iter().flat_map(of).collect()
    }
}

/// The largest difference in the same epoch, over epochs that at least two bots carried out with a complete set.
#[expect(clippy::cast_precision_loss, reason = "differences are small")]
fn spread_ms(bots: &[BotReport]) -> Option<f64> {
    let changes: Vec<&StopChange> = bots
        .iter()
        .flat_map(|b| &b.stop_changes)
        .filter(|c| c.complete)
        .collect();
    let epochs: BTreeSet<u32> = changes.iter().map(|c| c.epoch).collect();
    let spread = |epoch: &u32| {
        let times: Vec<i64> = changes
            .iter()
            .filter(|c| c.epoch == *epoch)
            .map(|c| c.applied_machine_us)
            .collect();
        let (least, most) = (times.iter().min()?, times.iter().max()?);
        (times.len() > 1).then_some(most - least)
    };
    epochs.iter().filter_map(spread).max().map(|us| us as f64 / 1e3)
}

/// One line on how it goes.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn progress(elapsed: Duration, bots: &[BotReport]) -> String {
    let joined = bots.iter().filter(|b| b.headset.is_some() && b.error.is_none()).count();
    let complete: u64 = bots.iter().map(|b| b.sets.complete).sum();
    let missed: u64 = bots.iter().map(|b| b.sets.missed).sum();
    let bytes: u64 = bots.iter().map(|b| b.bytes).sum();
    let p99 = bots.iter().map(|b| b.age_ms.p99).fold(0.0, f64::max);
    let changes = bots.iter().map(|b| b.stop_changes_applied).max().unwrap_or(0);
    let problems: usize = bots
        .iter()
        .map(|b| b.problems.len() + usize::from(b.error.is_some()))
        .sum();
    format!(
        "{:6.1} s  {joined}/{} in  {complete} sets, {missed} missed, {:.1} MB, age p99 {p99:.0} ms, {changes} stop \
         changes, {problems} problems",
        elapsed.as_secs_f64(),
        bots.len(),
        bytes as f64 / 1e6,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(epoch: u32, ms: i64, complete: bool) -> StopChange {
        StopChange {
            epoch,
            stop: 1,
            agreed_server_us: 0,
            applied_server_us: 0,
            applied_machine_us: ms * 1000,
            presented_machine_us: None,
            complete,
        }
    }

    #[test]
    fn spread_is_over_bots_within_an_epoch() {
        let bot = |changes: Vec<StopChange>| BotReport {
            headset: Some(1),
            stop_changes: changes,
            ..BotReport::default()
        };
        let bots = vec![
            bot(vec![
                change(2, 100, true),
                change(3, 5_000, true),
                change(4, 9_000, true),
            ]),
            bot(vec![
                change(2, 107, true),
                change(3, 5_003, true),
                change(4, 9_900, false),
            ]),
        ];
        let sets = [BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
        let report = Report::new(Duration::from_secs(2), bots, sets.into_iter());
        assert_eq!(report.stop_change_spread_ms, Some(7.0));
        assert_eq!(
            (report.distinct_sets, report.sets_seen_by_all, report.joined),
            (4, 2, 2)
        );
        assert!(report.problems().is_empty());
    }
}
