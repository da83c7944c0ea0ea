//! Who has a view of their own: shared panoramas come first, those get what is left of the renderer's time.

use std::time::Duration;

use tongyou_protocol::{HeadsetId, ServerTime};

use crate::SessionKey;

/// When somebody who stands off the cells gets a view of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetConfig {
    /// Most of them at once, over all sessions; 0 for none.
    pub stereo_most: usize,
    /// One more is granted while the renderer's load is below this.
    pub grant_below: f32,
    /// One is taken back when the load stays above this.
    pub revoke_above: f32,
    /// For so long the load must stay on one side before somebody's view is taken away or given back.
    pub revoke_after: Duration,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            stereo_most: 4,
            grant_below: 0.55,
            revoke_above: 0.85,
            revoke_after: Duration::from_secs(2),
        }
    }
}

/// One who has, or had, a view of their own.
pub(crate) type Holder = (SessionKey, HeadsetId);

#[derive(Debug, Default)]
pub(crate) struct Budget {
    /// Share of real time that rendering takes.
    load: f32,
    /// Since when it has been too high.
    above_since: Option<ServerTime>,
    /// Since when it has been low enough.
    below_since: Option<ServerTime>,
    /// When somebody's view was last granted, given back or taken away.
    changed_at: Option<ServerTime>,
    revoked_at: Option<ServerTime>,
    /// In the order of granting.
    held: Vec<Holder>,
}

impl Budget {
    /// A load that is not a number says nothing.
    pub(crate) const fn set_load(&mut self, load: f32) {
        if load.is_finite() {
            self.load = load;
        }
    }

    pub(crate) fn tick(&mut self, now: ServerTime, config: &BudgetConfig) {
        let since = |on: bool, since: Option<ServerTime>| on.then(|| since.unwrap_or(now));
        self.above_since = since(self.load > config.revoke_above, self.above_since);
        self.below_since = since(self.load < config.grant_below, self.below_since);
    }

    /// Whether somebody who asks gets a view. After one was taken away nobody does for a while: the load is a mean, and
    /// falls slowly.
    pub(crate) fn may_grant(&self, now: ServerTime, config: &BudgetConfig) -> bool {
        self.held.len() < config.stereo_most
            && self.load < config.grant_below
            && long_ago(now, self.revoked_at, config.revoke_after)
    }

    /// Whether one of those who wait gets a view now: one at a time, so that its cost is seen before the next.
    pub(crate) fn may_regrant(&self, now: ServerTime, config: &BudgetConfig) -> bool {
        self.may_grant(now, config)
            && self
                .below_since
                .is_some_and(|since| now.saturating_since(since) >= config.revoke_after)
            && long_ago(now, self.changed_at, config.revoke_after)
    }

    /// Who is to lose their view now: who got it last.
    pub(crate) fn overdue(&mut self, now: ServerTime, config: &BudgetConfig) -> Option<Holder> {
        let since = self.above_since?;
        if now.saturating_since(since) < config.revoke_after {
            return None;
        }
        let last = self.held.last().copied()?;
        // The next one only if this does not help.
        self.above_since = Some(now);
        self.revoked_at = Some(now);
        Some(last)
    }

    pub(crate) fn grant(&mut self, now: ServerTime, holder: Holder) {
        self.changed_at = Some(now);
        self.held.push(holder);
    }

    pub(crate) fn release(&mut self, now: ServerTime, holder: Holder) {
        let before = self.held.len();
        self.held.retain(|held| *held != holder);
        if self.held.len() != before {
            self.changed_at = Some(now);
        }
    }

    pub(crate) fn release_all(&mut self, session: SessionKey) {
        self.held.retain(|(key, _)| *key != session);
    }

    pub(crate) fn holds(&self, holder: Holder) -> bool {
        self.held.contains(&holder)
    }
}

fn long_ago(now: ServerTime, then: Option<ServerTime>, after: Duration) -> bool {
    then.is_none_or(|then| now.saturating_since(then) >= after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: SessionKey = SessionKey(1);

    fn at(ms: i64) -> ServerTime {
        ServerTime(ms * 1000)
    }

    #[test]
    fn the_last_one_goes_first_and_one_at_a_time() {
        let config = BudgetConfig::default();
        let mut budget = Budget::default();
        for who in 1..=4 {
            assert!(budget.may_grant(at(0), &config));
            budget.grant(at(0), (S, HeadsetId(who)));
        }
        assert!(!budget.may_grant(at(0), &config), "four at most");
        budget.set_load(0.9);
        let mut gone = Vec::new();
        for ms in 0..=6_100 {
            budget.tick(at(ms), &config);
            if let Some(holder) = budget.overdue(at(ms), &config) {
                budget.release(at(ms), holder);
                gone.push((ms, holder.1.0));
            }
        }
        assert_eq!(gone, [(2_000, 4), (4_000, 3), (6_000, 2)]);
        assert!(budget.holds((S, HeadsetId(1))));
        budget.release_all(S);
        assert!(!budget.holds((S, HeadsetId(1))));
        budget.tick(at(9_000), &config);
        assert_eq!(budget.overdue(at(9_000), &config), None, "nobody is left");
    }

    #[test]
    fn between_the_thresholds_nothing_changes() {
        let config = BudgetConfig::default();
        let mut budget = Budget::default();
        budget.grant(at(0), (S, HeadsetId(1)));
        budget.set_load(0.7);
        for ms in 0..10_000 {
            budget.tick(at(ms), &config);
            assert_eq!(budget.overdue(at(ms), &config), None);
            assert!(!budget.may_grant(at(ms), &config) && !budget.may_regrant(at(ms), &config));
        }
        // A load that swings over a threshold for less than the time.
        for ms in 10_000..20_000 {
            budget.set_load(if ms % 2_000 < 1_900 { 0.9 } else { 0.8 });
            budget.tick(at(ms), &config);
            assert_eq!(budget.overdue(at(ms), &config), None);
        }
        budget.set_load(f32::NAN);
        assert!((budget.load - 0.8).abs() < 1e-6);
        // Free again: who asks gets it at once, who waits after a while.
        budget.set_load(0.1);
        budget.tick(at(20_000), &config);
        assert!(budget.may_grant(at(20_000), &config) && !budget.may_regrant(at(21_999), &config));
        assert!(budget.may_regrant(at(22_000), &config));
        budget.grant(at(22_000), (S, HeadsetId(2)));
        assert!(!budget.may_regrant(at(23_999), &config), "one at a time");
    }
}
