//! Scans stand where file and user say.

use glam::DVec3;
use tongyou_import::{Error, Frame, Options, Placement, Report, Up, import, inspect};

use crate::formats::file;
use crate::samples;

fn placed(bytes: &[u8], placement: Placement) -> Result<Report, Error> {
    let (_folder, path) = file("sample", bytes);
    let options = Options {
        placement,
        ..Options::default()
    };
    import(&path, "x", &options).map(|(_, report)| report)
}

/// 渝中 in CGCS2000 / 3-degree Gauss-Kruger CM 105E, worked out by hand from the series of the projection to a metre.
const YUZHONG: [f64; 3] = [652_812.0, 3_271_680.0, 240.0];

#[test]
fn cgcs2000_in_the_keys_of_a_laz() {
    let bytes = samples::las(true, YUZHONG, Some(4544));
    let report = placed(&bytes, Placement::default()).unwrap();
    let Frame::Earth { lat, lon, height_m, .. } = report.frame else {
        panic!("{report}")
    };
    assert!(
        (lat - 29.56).abs() < 0.02 && (lon - 106.577).abs() < 0.02,
        "{lat} {lon}"
    );
    assert!((240.0..241.0).contains(&height_m), "{height_m}");
    let size = report.max - report.min;
    // The grid is turned by the convergence of the meridians, 0.8°, and stretched by 288 ppm at most.
    assert!(
        (12.0..12.4).contains(&size.x) && (12.0..12.4).contains(&size.y),
        "{size}"
    );
    let (_folder, path) = file("sample", &bytes);
    let summary = inspect(&path).unwrap();
    assert_eq!(summary.crs.as_deref(), Some("EPSG:4544"));
    assert!(
        summary
            .place
            .is_some_and(|(la, lo)| (la - lat).abs() < 1e-3 && (lo - lon).abs() < 1e-3)
    );
    // Another zone given by hand wins over the file's.
    let other = Placement {
        crs: Some("EPSG:4545".into()),
        ..Placement::default()
    };
    let Frame::Earth { lon: moved, .. } = placed(&bytes, other).unwrap().frame else {
        panic!()
    };
    assert!((moved - lon - 3.0).abs() < 1e-6, "{moved}");
}

#[test]
fn a_position_by_hand() {
    let bytes = samples::xyz();
    let at = (29.5571, 106.577);
    let report = placed(
        &bytes,
        Placement {
            at: Some(at),
            heading_deg: 90.0,
            scale: 0.3048,
            ..Placement::default()
        },
    )
    .unwrap();
    let Frame::Earth { lat, lon, .. } = report.frame else {
        panic!("{report}")
    };
    assert_eq!((lat, lon), at);
    assert!(report.warnings.iter().any(|w| w.contains("--at-gcj02")), "{report}");
    let size = report.max - report.min;
    assert!((size - DVec3::new(12.0, 12.0, 0.75) * 0.3048).length() < 0.02, "{size}");
    // The same position off a Chinese map is some four hundred metres from there.
    let shifted = placed(
        &bytes,
        Placement {
            at: Some(at),
            at_is_gcj02: true,
            ..Placement::default()
        },
    )
    .unwrap();
    let Frame::Earth { lat: la, lon: lo, .. } = shifted.frame else {
        panic!()
    };
    let apart = ((la - lat).to_radians().powi(2) + ((lo - lon).to_radians() * lat.to_radians().cos()).powi(2)).sqrt();
    assert!((250.0..800.0).contains(&(apart * 6.371e6)), "{}", apart * 6.371e6);
}

#[test]
fn a_position_that_contradicts_the_file() {
    let bytes = samples::las(true, YUZHONG, Some(4544));
    let Frame::Earth { lat, lon, .. } = placed(&bytes, Placement::default()).unwrap().frame else {
        panic!()
    };
    let given = |at| {
        let report = placed(
            &bytes,
            Placement {
                at: Some(at),
                ..Placement::default()
            },
        );
        report.unwrap().warnings.join("\n")
    };
    let on_the_map = tongyou_import::georef::gcj::from_wgs84(lat, lon);
    assert!(given(on_the_map).contains("looks like GCJ-02"), "{}", given(on_the_map));
    assert!(!given((lat, lon)).contains("looks like"), "{}", given((lat, lon)));
}

#[test]
fn heading_axes_and_crop() {
    // x is 12 wide, y is 12, heights below 1: cut off what lies west of the middle.
    let crop = Placement {
        crop: Some([0.0, -100.0, 100.0, 100.0]),
        ..Placement::default()
    };
    let report = placed(&samples::stl_binary(), crop).unwrap();
    assert!(
        (report.max.x - report.min.x - 6.0).abs() < 1e-9 && report.triangles == 144,
        "{report}"
    );
    // Read as y up, the sheet stands.
    let standing = Placement {
        up: Some(Up::Y),
        ..Placement::default()
    };
    let report = placed(&samples::stl_binary(), standing).unwrap();
    assert!((report.max.z - report.min.z - 12.0).abs() < 1e-9, "{report}");
    // An oblong that points north points east after a quarter turn.
    let long = b"0 0 0\n0 10 0\n1 0 0\n1 10 0\n0 5 0.1\n1 5 0.1\n".as_slice();
    let turned = Placement {
        heading_deg: 90.0,
        ..Placement::default()
    };
    let size = |p| placed(long, p).map(|r| r.max - r.min).unwrap();
    assert!((size(Placement::default()) - DVec3::new(1.0, 10.0, 0.1)).length() < 1e-9);
    assert!((size(turned) - DVec3::new(10.0, 1.0, 0.1)).length() < 1e-9);
}

#[test]
fn options_that_make_no_sense() {
    let bytes = samples::xyz();
    let cases = [
        (
            Placement {
                crs: Some("EPSG:1".into()),
                ..Placement::default()
            },
            "--crs",
        ),
        (
            Placement {
                crs: Some("EPSG:4326".into()),
                ..Placement::default()
            },
            "",
        ),
        (
            Placement {
                at: Some((91.0, 0.0)),
                ..Placement::default()
            },
            "--at",
        ),
        (
            Placement {
                scale: 0.0,
                ..Placement::default()
            },
            "--scale",
        ),
        (
            Placement {
                heading_deg: f64::NAN,
                ..Placement::default()
            },
            "--heading",
        ),
    ];
    for (placement, option) in cases {
        let result = placed(&bytes, placement);
        if option.is_empty() {
            // 0 to 12 are degrees as well: the sheet would be wider than a scene may be.
            let message = result.unwrap_err().to_string();
            assert!(message.contains("100 km"), "{message}");
        } else {
            assert!(result.unwrap_err().to_string().starts_with(option));
        }
    }
    let feet = placed(
        &samples::las(true, [636_590.0, 849_216.0, 1000.0], None),
        Placement {
            crs: Some("EPSG:2994".into()),
            ..Placement::default()
        },
    )
    .unwrap();
    let size = feet.max - feet.min;
    assert!(
        (3.6..3.9).contains(&size.x) && (size.z - 0.75 * 0.3048).abs() < 0.01,
        "{feet}"
    );
}
