//! Everyone changes the stop at the same moment, measured on the machine's own clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tongyou_bot::{Lead, Motion, Report, ServerTrust};
use tongyou_client::net;
use tongyou_tests::Running;
use tongyou_transport::impair::{Impairment, Proxy};

use crate::peers::bots;

/// Headsets, the guide's among them.
const HEADSETS: usize = 4;
/// The display interval of a 72 Hz headset, milliseconds.
const FRAME_MS: f64 = 1000.0 / 72.0;

/// Runs a tour over bad networks until at least `changes` stop changes are through.
async fn tour(server: &Running, changes: usize, synced: bool) -> Report {
    let impairment = Impairment {
        delay: Duration::from_millis(75),
        jitter: Duration::from_millis(50),
        ..Impairment::default()
    };
    let mut proxies = Vec::new();
    for seed in 0..u64::try_from(HEADSETS).unwrap() {
        proxies.push(Proxy::start(server.addr(), impairment, impairment, seed).await.unwrap());
    }
    let mut config = bots(server, 0, HEADSETS);
    config.motion = Motion::Still;
    config.clock_offset = Duration::from_secs(3);
    config.drift_ppm = 50.0;
    config.lead = Some(Lead {
        grant: server.grant(0).to_owned(),
        interval: Duration::from_millis(400),
    });
    // The run ends when enough changes are through, or after this.
    config.duration = Some(Duration::from_secs(if synced { 240 } else { 60 }));
    let trust = ServerTrust::CertificateHash(server.certificate_sha256());
    let addresses: Vec<_> = proxies.iter().map(Proxy::addr).collect();
    let (stop, cancel) = watch::channel(false);
    let connect = move |i: usize| {
        let quic = net::quic(addresses[i], "localhost", trust.clone());
        // The guide keeps its clock: without one it would not lead.
        if synced || i == 0 { quic } else { without_pings(&quic) }
    };
    let enough = async {
        while server.log().matches("change agreed").count() <= changes {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // The last one is carried out after its lead.
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.send_replace(true);
        std::future::pending::<Report>().await
    };
    tokio::select! {
        report = tongyou_bot::run_over(config, connect, cancel) => report,
        report = enough => report,
    }
}

/// A link on which no ping is answered: the headset's clock is never synchronised.
fn without_pings(connect: &net::Connect) -> net::Connect {
    let connect = Arc::clone(connect);
    Arc::new(move || {
        let connecting = connect();
        Box::pin(async move {
            let (link, events) = connecting.await?;
            Ok((
                Arc::new(silent::Silent(link)) as Arc<dyn tongyou_transport::Link>,
                events,
            ))
        })
    })
}

mod silent {
    use bytes::Bytes;
    use std::sync::Arc;
    use tongyou_transport::{Frame, Link, LinkInfo, LinkStats, SendError};

    #[derive(Debug)]
    pub(super) struct Silent(pub(super) Arc<dyn Link>);

    impl Link for Silent {
        fn info(&self) -> LinkInfo {
            self.0.info()
        }
        fn send_control(&self, message: Bytes) -> Result<(), SendError> {
            self.0.send_control(message)
        }
        fn send_datagram(&self, datagram: Bytes) -> Result<(), SendError> {
            // Kind 1 is a ping.
            if datagram.first() == Some(&1) {
                Ok(())
            } else {
                self.0.send_datagram(datagram)
            }
        }
        fn max_datagram_size(&self) -> usize {
            self.0.max_datagram_size()
        }
        fn send_frame(&self, frame: Frame) -> Result<(), SendError> {
            self.0.send_frame(frame)
        }
        fn close(&self, code: u32, reason: &str) {
            self.0.close(code, reason);
        }
        fn stats(&self) -> LinkStats {
            self.0.stats()
        }
    }
}

/// For each change that everyone carried out: how far each headset was from the middle of all, milliseconds.
#[expect(clippy::cast_precision_loss, reason = "differences of microseconds")]
fn skews_ms(report: &Report) -> BTreeMap<u32, Vec<f64>> {
    let mut by_epoch: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    for change in report.bots.iter().flat_map(|b| &b.stop_changes) {
        by_epoch
            .entry(change.epoch)
            .or_default()
            .push(change.applied_machine_us);
    }
    by_epoch.retain(|_, times| times.len() == HEADSETS);
    by_epoch
        .into_iter()
        .map(|(epoch, mut times)| {
            times.sort_unstable();
            let middle = times[times.len() / 2];
            (epoch, times.iter().map(|t| (t - middle).abs() as f64 / 1e3).collect())
        })
        .collect()
}

pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len()) - 1;
    values[at]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_stop_changes_are_together_on_bad_networks() {
    let server = Running::start(&["jiefangbei"], &["--sets-per-s", "4"]);
    let report = tour(&server, 50, true).await;
    let skews = skews_ms(&report);
    assert!(
        skews.len() >= 50,
        "only {} changes reached everyone: {:?}",
        skews.len(),
        report.problems()
    );
    let mut all: Vec<f64> = skews.values().flatten().copied().collect();
    let (p50, p99) = (percentile(&mut all, 0.5), percentile(&mut all, 0.99));
    // The first picture of the new stop: within the skew plus one display interval of the agreed instant.
    let changes = report
        .bots
        .iter()
        .flat_map(|b| &b.stop_changes)
        .filter(|c| skews.contains_key(&c.epoch));
    #[expect(clippy::cast_precision_loss, reason = "differences of microseconds")]
    let mut late: Vec<f64> = changes
        .filter(|c| c.complete)
        .filter_map(|c| Some((c.presented_machine_us? - c.applied_machine_us) as f64 / 1e3))
        .collect();
    assert!(
        late.len() * 10 >= all.len() * 9,
        "{} of {} had a picture in time",
        late.len(),
        all.len()
    );
    let picture_p99 = percentile(&mut late, 0.99);
    println!(
        "{{\"changes\":{},\"headsets\":{HEADSETS},\"skew_p50_ms\":{p50:.2},\"skew_p99_ms\":{p99:.2},\"picture_after_p99_ms\":{picture_p99:.2}}}",
        skews.len()
    );
    assert!(p99 <= 20.0, "skew p99 {p99:.2} ms");
    assert!(
        picture_p99 <= 20.0 + FRAME_MS,
        "first picture p99 {picture_p99:.2} ms after the change"
    );
}

/// The control: without clock synchronisation a change is carried out when its word arrives, and the same measure
/// must show that people are not together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_clock_sync_the_measure_fails() {
    let server = Running::start(&["jiefangbei"], &["--sets-per-s", "4"]);
    let report = tour(&server, 8, false).await;
    let skews = skews_ms(&report);
    assert!(skews.len() >= 5, "only {} changes reached everyone", skews.len());
    let mut all: Vec<f64> = skews.values().flatten().copied().collect();
    let p99 = percentile(&mut all, 0.99);
    println!("{{\"changes\":{},\"skew_without_sync_p99_ms\":{p99:.2}}}", skews.len());
    assert!(
        p99 > 20.0,
        "the measure does not notice missing clock synchronisation: {p99:.2} ms"
    );
}
