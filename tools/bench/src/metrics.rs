//! Reads the server's counters.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// All counters at one instant.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    counters: BTreeMap<String, f64>,
    /// Upper bound in seconds and how many were at most so long, by name.
    histograms: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Snapshot {
    /// Reads Prometheus' text format, as far as our server uses it.
    ///
    /// # Errors
    /// When a line is not a name and a number.
    pub fn parse(text: &str) -> Result<Self> {
        let mut snapshot = Self::default();
        for line in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
            let (name, value) = line.rsplit_once(' ').with_context(|| format!("metrics: {line:?}"))?;
            let value: f64 = value.parse().with_context(|| format!("metrics: {line:?}"))?;
            match name.split_once("_bucket{le=\"") {
                Some((name, bound)) => {
                    let bound = bound.trim_end_matches("\"}");
                    let bound_s = if bound == "+Inf" { f64::INFINITY } else { bound.parse()? };
                    snapshot
                        .histograms
                        .entry(name.to_owned())
                        .or_default()
                        .push((bound_s, value));
                }
                None => {
                    snapshot.counters.insert(name.to_owned(), value);
                }
            }
        }
        ensure!(!snapshot.counters.is_empty(), "the server has no metrics");
        Ok(snapshot)
    }

    /// How much a counter has risen since `before`.
    ///
    /// # Errors
    /// When there is no such counter.
    pub fn since(&self, before: &Self, name: &str) -> Result<f64> {
        let get = |s: &Self| s.counters.get(name).copied();
        Ok(get(self).with_context(|| format!("the server does not count {name}"))? - get(before).unwrap_or(0.0))
    }

    /// A quantile of what was recorded in a histogram since `before`, in milliseconds, and how many that were.
    ///
    /// # Errors
    /// When there is no such histogram, or nothing was recorded.
    pub fn quantile_ms(&self, before: &Self, name: &str, share: f64) -> Result<(f64, f64)> {
        let get = |s: &Self| s.histograms.get(name).cloned();
        let now = get(self).with_context(|| format!("the server has no histogram {name}"))?;
        let was = get(before).unwrap_or_default();
        let count_at = |i: usize| now[i].1 - was.get(i).map_or(0.0, |b| b.1);
        let all = now.len().checked_sub(1).map_or(0.0, count_at);
        ensure!(all > 0.0, "nothing was recorded in {name}");
        let wanted = all * share;
        let at = (0..now.len())
            .find(|i| count_at(*i) >= wanted)
            .context("an empty histogram")?;
        let (low_s, below) = match at.checked_sub(1) {
            Some(i) => (now[i].0, count_at(i)),
            None => (0.0, 0.0),
        };
        let high_s = now[at].0;
        // Within a bucket values are taken to lie evenly.
        let part = (wanted - below) / (count_at(at) - below).max(1.0);
        let value_s = if high_s.is_finite() {
            low_s + (high_s - low_s) * part
        } else {
            f64::INFINITY
        };
        Ok((value_s * 1e3, all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_counters_and_quantiles_of_histograms() {
        let text = |n: u32, low: u32, high: u32| {
            format!(
                "# HELP a_total x\na_total {n}\nt_seconds_bucket{{le=\"0.010\"}} {low}\n\
                 t_seconds_bucket{{le=\"0.020\"}} {high}\nt_seconds_bucket{{le=\"+Inf\"}} {high}\nt_seconds_count {high}\n"
            )
        };
        let before = Snapshot::parse(&text(5, 10, 10)).unwrap();
        let after = Snapshot::parse(&text(25, 60, 110)).unwrap();
        assert_eq!(after.since(&before, "a_total").unwrap(), 20.0);
        let (p75, count) = after.quantile_ms(&before, "t_seconds", 0.75).unwrap();
        assert!((p75 - 15.0).abs() < 1e-9, "{p75}");
        assert_eq!(count, 100.0);
        assert!(after.since(&before, "b_total").is_err());
        assert!(after.quantile_ms(&after, "t_seconds", 0.5).is_err(), "nothing new");
        assert!(Snapshot::parse("nonsense").is_err());
    }
}
