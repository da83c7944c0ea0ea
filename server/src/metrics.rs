//! What the server counts while it runs, as text for Prometheus: numbers only, no names and no codes.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::header;
use axum::routing::get;
use tracing::error;

/// Upper bounds grow by this, so that a quantile that is read from a histogram is right to about 5 %.
const STEP: f64 = 1.1;
/// The first upper bound.
const FIRST_US: f64 = 50.0;
/// With these the last upper bound is about 1.5 s.
const BOUNDS: usize = 109;

/// All counters of one server. Cheap enough for every frame and datagram.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Sets of base layers that were drawn.
    pub(crate) sets_rendered: Counter,
    /// Sets of base layers that were coded.
    pub(crate) sets_encoded: Counter,
    /// Sets of other layers than the base that were drawn.
    pub(crate) layers_rendered: Counter,
    /// Likewise coded.
    pub(crate) layers_encoded: Counter,
    frames_sent: Counter,
    frame_bytes_sent: Counter,
    /// Frames that arrived at their headset.
    pub(crate) frames_delivered: Counter,
    /// Frames that were given up, or could not be handed to the link.
    pub(crate) frames_expired: Counter,
    /// Datagrams of headsets: poses, pings, reports.
    pub(crate) datagrams_received: Counter,
    /// Datagrams to headsets: avatars, answers to pings.
    datagrams_sent: Counter,
    datagram_bytes_sent: Counter,
    /// Headsets that came.
    pub(crate) links_opened: Counter,
    /// Headsets that went.
    pub(crate) links_closed: Counter,
    /// From the instant at which a tick was due to its end.
    pub(crate) tick: Histogram,
    /// The work of one tick.
    pub(crate) tick_work: Histogram,
    /// From the instant of which sets are to the last pixel of all of them in memory.
    pub(crate) render: Histogram,
    /// Coding one set, colour and depth.
    pub(crate) encode: Histogram,
}

/// Only ever rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long something took.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// The last one is for all that took longer than the last bound.
    buckets: [AtomicU64; BOUNDS + 1],
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_us: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let us = took.as_secs_f64() * 1e6;
        let at = (0..BOUNDS).find(|i| us <= bound_us(*i)).unwrap_or(BOUNDS);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        let whole = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(whole, Ordering::Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum of microseconds")]
    fn write(&self, text: &mut String, name: &str, help: &str) {
        let mut below = 0;
        head(text, name, help, "histogram");
        for (i, bucket) in self.buckets[..BOUNDS].iter().enumerate() {
            below += bucket.load(Ordering::Relaxed);
            line(
                text,
                format_args!("{name}_bucket{{le=\"{:.9}\"}} {below}", bound_us(i) / 1e6),
            );
        }
        below += self.buckets[BOUNDS].load(Ordering::Relaxed);
        let sum_s = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        line(text, format_args!("{name}_bucket{{le=\"+Inf\"}} {below}"));
        line(text, format_args!("{name}_sum {sum_s}\n{name}_count {below}"));
    }
}

fn bound_us(i: usize) -> f64 {
    FIRST_US * STEP.powi(i32::try_from(i).unwrap_or(i32::MAX))
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    line(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{what}");
}

impl Metrics {
    /// A frame was handed to a link.
    pub(crate) fn frame_sent(&self, bytes: usize) {
        self.frames_sent.add(1);
        self.frame_bytes_sent.add(bytes as u64);
    }

    /// A datagram was handed to a link.
    pub(crate) fn datagram_sent(&self, bytes: usize) {
        self.datagrams_sent.add(1);
        self.datagram_bytes_sent.add(bytes as u64);
    }

    /// Everything, in Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (name, help, counter) in [
            ("tongyou_sets_rendered_total", "Base sets drawn.", &self.sets_rendered),
            ("tongyou_sets_encoded_total", "Base sets coded.", &self.sets_encoded),
            (
                "tongyou_layers_rendered_total",
                "Sets of other layers drawn.",
                &self.layers_rendered,
            ),
            (
                "tongyou_layers_encoded_total",
                "Sets of other layers coded.",
                &self.layers_encoded,
            ),
            (
                "tongyou_frames_sent_total",
                "Frames handed to links.",
                &self.frames_sent,
            ),
            (
                "tongyou_frame_bytes_total",
                "Bytes of frames handed to links.",
                &self.frame_bytes_sent,
            ),
            (
                "tongyou_frames_delivered_total",
                "Frames that arrived.",
                &self.frames_delivered,
            ),
            ("tongyou_frames_expired_total", "Frames given up.", &self.frames_expired),
            (
                "tongyou_datagrams_received_total",
                "Datagrams of headsets.",
                &self.datagrams_received,
            ),
            (
                "tongyou_datagrams_sent_total",
                "Datagrams handed to links.",
                &self.datagrams_sent,
            ),
            (
                "tongyou_datagram_bytes_total",
                "Bytes of datagrams handed to links.",
                &self.datagram_bytes_sent,
            ),
            ("tongyou_links_opened_total", "Connections made.", &self.links_opened),
            ("tongyou_links_closed_total", "Connections ended.", &self.links_closed),
        ] {
            head(&mut text, name, help, "counter");
            line(&mut text, format_args!("{name} {}", counter.get()));
        }
        for (name, help, histogram) in [
            (
                "tongyou_tick_seconds",
                "From the instant at which a tick was due to its end.",
                &self.tick,
            ),
            ("tongyou_tick_work_seconds", "The work of one tick.", &self.tick_work),
            (
                "tongyou_render_seconds",
                "From the instant that sets show to their last pixel in memory.",
                &self.render,
            ),
            ("tongyou_encode_seconds", "Coding one set.", &self.encode),
        ] {
            histogram.write(&mut text, name, help);
        }
        text
    }
}

/// Serves `GET /metrics` without TLS at an address that the operator chose for it; returns the bound address.
pub(crate) async fn serve(addr: SocketAddr, metrics: Arc<Metrics>) -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(addr)
        .await
        .with_context(|| format!("can not open TCP port {addr} for the metrics"))?;
    let bound = listener.local_addr()?;
    let answer = move || {
        let text = metrics.text();
        async { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
    };
    let router = Router::new().route("/metrics", get(answer));
    tokio::spawn(async move {
        if let Err(e) = axum::serve(listener, router).await {
            error!("the metrics are not served any more: {e}");
        }
    });
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cumulative_and_complete() {
        let metrics = Metrics::default();
        metrics.sets_rendered.add(3);
        metrics.frame_sent(1000);
        metrics.frame_sent(24);
        for us in [10, 13_900, 13_900, 9_000_000] {
            metrics.tick.record(Duration::from_micros(us));
        }
        let text = metrics.text();
        let value = |name: &str| {
            let line = text
                .lines()
                .find(|l| l.starts_with(name))
                .unwrap_or_else(|| panic!("{name}"));
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
        };
        assert_eq!(value("tongyou_sets_rendered_total "), 3.0);
        assert_eq!(value("tongyou_frame_bytes_total "), 1024.0);
        assert_eq!(value("tongyou_tick_seconds_count"), 4.0);
        assert_eq!(value("tongyou_tick_seconds_bucket{le=\"+Inf\"}"), 4.0);
        assert_eq!(value("tongyou_tick_seconds_bucket{le=\"0.000050000\"}"), 1.0);
        assert!((value("tongyou_tick_seconds_sum") - 9.02781).abs() < 1e-9);
        let last = bound_us(BOUNDS - 1);
        assert!((1e6..2e6).contains(&last), "{last} µs");
        let bounds: Vec<f64> = text
            .lines()
            .filter_map(|l| l.strip_prefix("tongyou_tick_seconds_bucket{le=\""))
            .map(|l| l.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(bounds.is_sorted(), "buckets are cumulative");
    }
}
