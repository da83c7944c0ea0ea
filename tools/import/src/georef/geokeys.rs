//! GeoTIFF keys, with which LAS states its coordinate system where it has no WKT.

/// Keys of interest: model type, geographic type, projected type, projected unit, vertical unit.
const MODEL: u16 = 1024;
const GEOGRAPHIC: u16 = 2048;
const PROJECTED: u16 = 3072;
/// "User-defined": the parameters are in other keys.
const OWN: u16 = 32_767;

/// `EPSG:…`, or `None` where the keys do not name a code.
pub(crate) fn describe(directory: &[u8]) -> Option<String> {
    let shorts: Vec<u16> = directory
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&b| u16::from_le_bytes(b))
        .collect();
    let key = |id: u16| {
        let mut keys = shorts.get(4..)?.as_chunks::<4>().0.iter();
        // A value in the key itself has the location 0.
        keys.find(|k| k[0] == id && k[1] == 0).map(|k| k[3])
    };
    let code = match key(MODEL) {
        Some(2 | 3) => key(GEOGRAPHIC),
        _ => key(PROJECTED).or_else(|| key(GEOGRAPHIC)),
    }?;
    // A geocentric model over WGS 84 has a code of its own.
    match (key(MODEL), code) {
        (_, 0 | OWN) => None,
        (Some(3), 4326) => Some("EPSG:4978".into()),
        (_, code) => Some(format!("EPSG:{code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_keys() {
        let keys = |rows: &[[u16; 4]]| -> Vec<u8> {
            let head = [1, 1, 0, u16::try_from(rows.len()).unwrap()];
            let all = head.iter().chain(rows.iter().flatten());
            all.flat_map(|v| v.to_le_bytes()).collect()
        };
        let projected = keys(&[[1024, 0, 1, 1], [3072, 0, 1, 32_648]]);
        assert_eq!(describe(&projected).as_deref(), Some("EPSG:32648"));
        assert_eq!(
            describe(&keys(&[[1024, 0, 1, 2], [2048, 0, 1, 4326]])).as_deref(),
            Some("EPSG:4326")
        );
        assert_eq!(describe(&keys(&[[1024, 0, 1, 1], [3072, 0, 1, OWN]])), None);
        assert_eq!(describe(&[1, 2, 3]), None);
    }
}
