//! Each bench runs, checks what it receives and prints what it promises. Times are not judged here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::Value;

fn quick(bench: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_tongyou-bench"))
        .args([bench, "--quick"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{bench}: {said}");
    let lines: Vec<&[u8]> = output.stdout.split(|b| *b == b'\n').filter(|l| !l.is_empty()).collect();
    assert_eq!(lines.len(), 1, "one line of JSON and nothing else");
    serde_json::from_slice(lines[0]).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn fanout() {
    let report = quick("fanout");
    let expected = [
        "bytes_per_s",
        "encodes_per_s",
        "frame_age_p99_ms",
        "headsets",
        "raw_send_cpu_ms_per_s",
        "renders_per_s",
        "server_cpu_ms_per_s",
        "sets_delivered",
    ];
    assert_eq!(keys(&report), expected);
    assert_eq!(report["headsets"], serde_json::json!([1, 4]));
    for key in expected {
        let values = report[key].as_array().unwrap();
        assert_eq!(values.len(), 2, "{key}");
        assert!(values.iter().all(|v| v.as_f64().unwrap() > 0.0), "{key}: {values:?}");
    }
}

#[test]
fn load() {
    let report = quick("load");
    assert_eq!(
        keys(&report),
        ["bytes_per_listener_s", "cpu_cores", "headsets", "tick_p99_ms"]
    );
    assert_eq!(report["headsets"], 16);
    assert!(report["bytes_per_listener_s"].as_f64().unwrap() > 1000.0);
}

#[test]
fn latency() {
    let report = quick("latency");
    assert_eq!(keys(&report["transports"]), ["quic", "webtransport"]);
    for latency in report["transports"].as_object().unwrap().values() {
        assert_eq!(
            keys(latency),
            ["stages", "total_p50_ms", "total_p95_ms", "total_p99_ms"]
        );
        let total = latency["total_p50_ms"].as_f64().unwrap();
        assert!(total > 0.0);
        assert_eq!(latency["stages"].as_object().unwrap().len(), 13);
    }
}
