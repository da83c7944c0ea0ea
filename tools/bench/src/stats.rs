//! Quantiles and straight lines.

use serde::Serialize;

/// The three quantiles of a stage, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
}

impl Quantiles {
    /// Of durations in microseconds; `None` where there are none.
    #[must_use]
    pub fn of_us(mut us: Vec<i64>) -> Option<Self> {
        us.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "durations of seconds")]
        let at = |percent: usize| {
            let last = us.len().checked_sub(1)?;
            Some(round(us[(us.len() * percent / 100).min(last)] as f64 / 1e3, 3))
        };
        Some(Self {
            p50_ms: at(50)?,
            p95_ms: at(95)?,
            p99_ms: at(99)?,
        })
    }
}

/// The median; 0 of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// Slope of the straight line through the points by least squares.
#[must_use]
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let across: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let along: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    across / along
}

/// To so many decimals, for printing.
#[must_use]
pub fn round(value: f64, decimals: i32) -> f64 {
    let factor = 10_f64.powi(decimals);
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope_and_medians_lie_in_the_middle() {
        let points: Vec<(f64, f64)> = [1.0, 2.0, 4.0, 64.0].map(|x| (x, 300.0 + 2.5 * x)).into();
        assert!((slope(&points) - 2.5).abs() < 1e-12);
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![9.0, 1.0, 5.0, 7.0]), 6.0);
        let of = Quantiles::of_us((0..1000).map(|ms| ms * 1000).rev().collect()).unwrap();
        assert_eq!((of.p50_ms, of.p95_ms, of.p99_ms), (500.0, 950.0, 990.0));
        assert_eq!(Quantiles::of_us(Vec::new()), None);
    }
}
