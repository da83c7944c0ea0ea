//! What one more headset at a vantage costs the server, beside bare quinn sending the same frames.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;
use tongyou_client::net;

use crate::process::{Server, Worker};
use crate::raw::Rhythm;
use crate::stats::{median, round, slope};
use crate::visitor::{self, Visitor};
use crate::{content, faces};

/// One more headset may cost so many times what bare quinn costs.
const MOST_SLOPE: f64 = 1.2;
/// Least share of the configured rate, and of the sets that arrive.
const LEAST_SHARE: f64 = 0.95;
/// Rates at different numbers of headsets differ by less than this share: they do not depend on it.
const CONSTANT: f64 = 0.05;

/// How thoroughly to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many headsets, rising.
    pub headsets: Vec<usize>,
    /// Windows that the median is taken of.
    pub windows: usize,
    /// Length of a window.
    pub window: Duration,
    /// Sets a second that the server is configured for.
    pub sets_per_s: f64,
}

impl Options {
    /// All of it, in about five minutes.
    #[must_use]
    pub fn full() -> Self {
        Self {
            headsets: vec![1, 2, 4, 8, 16, 32, 64],
            windows: 5,
            window: Duration::from_secs(3),
            sets_per_s: 8.0,
        }
    }

    /// Enough to see that it works.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            headsets: vec![1, 4],
            windows: 1,
            window: Duration::from_secs(2),
            sets_per_s: 4.0,
        }
    }
}

/// What is printed. One entry for each number of headsets; medians over the windows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Headsets at the vantage.
    pub headsets: Vec<usize>,
    /// Sets drawn a second.
    pub renders_per_s: Vec<f64>,
    /// Sets coded a second.
    pub encodes_per_s: Vec<f64>,
    /// Sets that were complete at headsets, as a share of all sets times all headsets.
    pub sets_delivered: Vec<f64>,
    /// CPU time of the whole server, rendering and coding included.
    pub server_cpu_ms_per_s: Vec<f64>,
    /// CPU time of a process that only sends the same frames with quinn.
    pub raw_send_cpu_ms_per_s: Vec<f64>,
    /// Bytes of frames that leave the server a second.
    pub bytes_per_s: Vec<f64>,
    /// From rendered to complete.
    pub frame_age_p99_ms: Vec<f64>,
    /// CPU time of those threads of the server that neither draw nor code; not printed.
    #[serde(skip)]
    pub sending_cpu_ms_per_s: Vec<f64>,
}

/// What one headset is sent a second.
#[derive(Debug, Clone, Copy)]
struct Load {
    bytes: f64,
    datagrams: f64,
    datagram_bytes: f64,
}

/// What was measured in one window.
#[derive(Debug, Default)]
struct Window {
    renders: f64,
    encodes: f64,
    delivered: f64,
    cpu: f64,
    /// Of the threads that neither draw nor code.
    sending: f64,
    bytes: f64,
    frames: f64,
    datagrams: f64,
    datagram_bytes: f64,
    age_p99: f64,
}

/// Measures, after checking what the headsets see.
///
/// # Errors
/// When a headset receives something wrong, or a process fails.
pub async fn run(options: &Options) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    content::write(folder.path())?;
    let rate = options.sets_per_s.to_string();
    // The base layer alone: its sets are numbered one after the other, and all see the same of them.
    let plain = ["--faces", "off", "--behind", "off"];
    let more = ["--capacity", "200", "--sets-per-s", rate.as_str()]
        .into_iter()
        .chain(plain);
    let more: Vec<&str> = more.collect();
    let server = Server::start(folder.path(), content::MOVING, false, &more)?;
    let (addr, trust, code) = (server.addr()?, server.trust()?, server.code()?);
    let connect = net::quic(addr, "localhost", trust.clone());

    let moving = faces::least_moving(connect.clone(), code.clone()).await?;
    ensure!(moving >= 2, "only in {moving} faces something moves between two sets");
    let visitor = Visitor::join(connect().await?, &code, "Recorder").await?;
    let rhythm = visitor::record(visitor, Duration::from_secs(5)).await?;
    eprintln!(
        "something moves in at least {moving} faces; a headset is sent {:.1} frames and {:.0} kB a second",
        rhythm.frames.len() as f64 / (rhythm.period_us as f64 / 1e6),
        rhythm.bytes_per_s() / 1e3
    );

    let mut report = Report::default();
    let mut loads = Vec::new();
    let at = addr.to_string();
    let sha = server.sha256()?;
    let (mut headsets, _) = Worker::start(&["headsets", "--server", &at, "--sha256", &sha, "--code", &code])?;
    let mut present = 0;
    for &n in &options.headsets {
        ensure!(n > present, "numbers of headsets must rise");
        headsets.ask(&format!("add {}", n - present))?;
        present = n;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut windows = Vec::new();
        for _ in 0..options.windows {
            windows.push(window(&server, &mut headsets, n, options.window).await?);
        }
        let of = |pick: fn(&Window) -> f64| median(windows.iter().map(pick).collect());
        report.headsets.push(n);
        report.renders_per_s.push(round(of(|w| w.renders), 2));
        report.encodes_per_s.push(round(of(|w| w.encodes), 2));
        report.sets_delivered.push(round(of(|w| w.delivered), 4));
        report.server_cpu_ms_per_s.push(round(of(|w| w.cpu), 1));
        report.sending_cpu_ms_per_s.push(of(|w| w.sending));
        report.bytes_per_s.push(of(|w| w.bytes).round());
        report.frame_age_p99_ms.push(round(of(|w| w.age_p99), 1));
        loads.push(Load {
            bytes: of(|w| w.bytes) / n as f64,
            datagrams: of(|w| w.datagrams) / n as f64,
            datagram_bytes: of(|w| w.datagram_bytes) / n as f64,
        });
        eprintln!(
            "{n:3} headsets: {:5.2} sets/s, {:.1} frames/s each, {:.0} ms CPU/s ({:.1} without drawing and coding), \
             delivered {:.4}, age p99 {:.0} ms",
            of(|w| w.renders),
            of(|w| w.frames) / n as f64,
            of(|w| w.cpu),
            of(|w| w.sending),
            of(|w| w.delivered),
            of(|w| w.age_p99)
        );
    }
    // One stays, so that the machine does the same beside bare quinn as it did beside the server's own sending.
    headsets.ask("keep 1")?;
    report.raw_send_cpu_ms_per_s = raw(options, &rhythm, &loads).await?;
    Ok(report)
}

async fn window(server: &Server, headsets: &mut Worker, n: usize, length: Duration) -> Result<Window> {
    headsets.ask("begin")?;
    let (before, cpu, sending) = (server.metrics()?, server.cpu_ms()?, server.sending_cpu_ms()?);
    let began = std::time::Instant::now();
    tokio::time::sleep(length).await;
    let (after, cpu, sending) = (
        server.metrics()?,
        server.cpu_ms()? - cpu,
        server.sending_cpu_ms()? - sending,
    );
    let seconds = began.elapsed().as_secs_f64();
    let seen = headsets.ask("end")?;
    let number = |key: &str| {
        seen[key]
            .as_f64()
            .with_context(|| format!("the headsets did not say {key}"))
    };
    ensure!(number("headsets")? == n as f64, "headsets are missing");
    let per_s = |name: &str| Ok::<_, anyhow::Error>(after.since(&before, name)? / seconds);
    Ok(Window {
        renders: per_s("tongyou_sets_rendered_total")?,
        encodes: per_s("tongyou_sets_encoded_total")?,
        delivered: number("delivered")? / (number("sets")? * n as f64),
        cpu: cpu / seconds,
        sending: sending / seconds,
        bytes: per_s("tongyou_frame_bytes_total")?,
        frames: per_s("tongyou_frames_sent_total")?,
        datagrams: per_s("tongyou_datagrams_sent_total")?,
        datagram_bytes: per_s("tongyou_datagram_bytes_total")?,
        age_p99: age_p99_ms(&seen["ages_us"])?,
    })
}

fn age_p99_ms(ages: &Value) -> Result<f64> {
    let ages = ages.as_array().context("the headsets did not say ages")?;
    let ages = ages.iter().filter_map(Value::as_i64).collect();
    let of = crate::stats::Quantiles::of_us(ages).context("no ages: the clocks are not synchronised")?;
    Ok(of.p99_ms)
}

/// CPU time a second of bare quinn at each number of headsets; `loads` are what each headset was sent then.
async fn raw(options: &Options, rhythm: &Rhythm, loads: &[Load]) -> Result<Vec<f64>> {
    let (mut sender, first) = Worker::start(&["raw-send"])?;
    let port = first["port"].as_u64().context("the sender has no port")?;
    let certificate = first["certificate"].as_str().context("the sender has no certificate")?;
    let at = format!("127.0.0.1:{port}");
    let (mut receiver, _) = Worker::start(&["raw-receive", "--server", &at, "--certificate", certificate])?;
    let bytes = |value: &Value| value["bytes"].as_f64().context("no bytes");
    let mut costs = Vec::new();
    for (&n, load) in options.headsets.iter().zip(loads) {
        let mut same = rhythm.scaled(load.bytes / rhythm.bytes_per_s());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bytes of a datagram"
        )]
        let bytes_each = (load.datagram_bytes / load.datagrams.max(1e-9)).round() as usize;
        same.datagrams = (load.datagrams, bytes_each);
        // Both sides must be at it at the same time.
        let accept = std::thread::scope(|scope| {
            let accepting = scope.spawn(|| sender.ask(&format!("accept {n}")));
            let connected = receiver.ask(&format!("connect {n}"));
            let accepted = accepting.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
            connected.and(accepted)
        });
        accept?;
        sender.ask(&format!("start {}", serde_json::to_string(&same)?))?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut windows = Vec::new();
        for _ in 0..options.windows {
            let (got, cpu, began) = (
                bytes(&receiver.ask("received")?)?,
                sender.cpu_ms()?,
                std::time::Instant::now(),
            );
            tokio::time::sleep(options.window).await;
            let (got, cpu, seconds) = (
                bytes(&receiver.ask("received")?)? - got,
                sender.cpu_ms()? - cpu,
                began.elapsed().as_secs_f64(),
            );
            let share = got / seconds / (load.bytes * n as f64);
            // A window may cut a period anywhere: its keyframe is in it or not.
            ensure!(
                (0.6..1.6).contains(&share),
                "bare quinn sent {share:.2} times the bytes of the server"
            );
            // Per byte that was really received, so that both sent the same.
            windows.push(cpu / seconds / share);
        }
        sender.ask("stop")?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (sent, received) = (bytes(&sender.ask("sent")?)?, bytes(&receiver.ask("received")?)?);
        ensure!(sent == received, "bare quinn sent {sent} bytes, {received} arrived");
        costs.push(round(median(windows), 1));
    }
    Ok(costs)
}

impl Report {
    /// CPU of one more headset, milliseconds a second: the server's, that of its threads which neither draw nor code,
    /// and bare quinn's.
    #[must_use]
    pub fn slopes(&self) -> (f64, f64, f64) {
        let line = |costs: &[f64]| {
            let points = self.headsets.iter().map(|n| *n as f64).zip(costs.iter().copied());
            slope(&points.collect::<Vec<_>>())
        };
        (
            line(&self.server_cpu_ms_per_s),
            line(&self.sending_cpu_ms_per_s),
            line(&self.raw_send_cpu_ms_per_s),
        )
    }

    /// What was promised and does not hold, in words.
    #[must_use]
    pub fn shortfalls(&self, options: &Options) -> Vec<String> {
        let mut all = Vec::new();
        for (i, n) in self.headsets.iter().enumerate() {
            for (what, rate) in [("renders", self.renders_per_s[i]), ("encodes", self.encodes_per_s[i])] {
                if rate < LEAST_SHARE * options.sets_per_s {
                    all.push(format!("{n} headsets: {rate} {what}/s of {}", options.sets_per_s));
                }
            }
            if self.sets_delivered[i] < LEAST_SHARE {
                all.push(format!(
                    "{n} headsets: {} of the sets delivered",
                    self.sets_delivered[i]
                ));
            }
        }
        for (what, rates) in [("renders", &self.renders_per_s), ("encodes", &self.encodes_per_s)] {
            let (least, most) = rates
                .iter()
                .fold((f64::MAX, 0.0_f64), |(l, m), r| (l.min(*r), m.max(*r)));
            if most - least > CONSTANT * most {
                all.push(format!("{what} a second are not constant: {least} to {most}"));
            }
        }
        // Drawing and coding do not depend on the headsets, which the rates above show; their CPU time varies by more
        // from window to window than many headsets cost, so that the slope is judged without it.
        let (_, sending, raw) = self.slopes();
        if sending > MOST_SLOPE * raw {
            all.push(format!(
                "one more headset costs {sending:.3} ms CPU/s, {:.2} times bare quinn's {raw:.3}",
                sending / raw
            ));
        }
        all
    }
}
