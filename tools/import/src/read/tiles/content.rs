//! The containers of tiles: b3dm, pnts, cmpt, i3dm and bare glTF, with their feature tables.

use glam::DVec3;
use serde_json::Value;

/// Inner tiles of a composite.
const MOST_INNER: usize = 4096;
/// Bytes of a feature table's JSON: it lists arrays, it does not hold them.
const MOST_TABLE: usize = 1 << 20;

/// What a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// b3dm: glTF with a table of batches.
    Batched,
    /// pnts.
    Points,
    /// cmpt: several of them one after another.
    Composite,
    /// i3dm.
    Instances,
    /// glTF or GLB.
    Gltf,
}

/// A content taken apart.
#[derive(Debug)]
pub(super) struct Content<'a> {
    pub(super) kind: Kind,
    /// The feature table.
    pub(super) table: Value,
    /// The arrays that the feature table refers to.
    pub(super) arrays: &'a [u8],
    /// glTF, or the tiles of a composite.
    pub(super) body: &'a [u8],
    /// Bytes of all tables.
    pub(super) tables: usize,
    count: usize,
}

fn word(bytes: &[u8], at: usize) -> Result<usize, String> {
    let four = bytes.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
    four.map(|b| u32::from_le_bytes(b) as usize)
        .ok_or_else(|| "is cut off".into())
}

impl<'a> Content<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let plain = |kind, body, count| Self {
            kind,
            table: Value::Null,
            arrays: &[],
            body,
            tables: 0,
            count,
        };
        let kind = match bytes.get(..4) {
            Some(b"b3dm") => Kind::Batched,
            Some(b"pnts") => Kind::Points,
            Some(b"cmpt") => Kind::Composite,
            Some(b"i3dm") => Kind::Instances,
            Some(_) => return Ok(plain(Kind::Gltf, bytes, 0)),
            None => return Err("is cut off".into()),
        };
        let version = word(bytes, 4)?;
        if version != 1 {
            return Err(format!("is of version {version}, only 1 is known"));
        }
        let length = word(bytes, 8)?;
        let bytes = bytes
            .get(..length)
            .ok_or_else(|| format!("says it has {length} bytes, but {} are there", bytes.len()))?;
        if kind == Kind::Composite {
            let count = word(bytes, 12)?;
            return Ok(plain(kind, bytes.get(16..).ok_or("is cut off")?, count));
        }
        let header: usize = if kind == Kind::Instances { 32 } else { 28 };
        let mut at = header;
        let mut pieces: [&[u8]; 4] = [&[]; 4];
        for (index, piece) in pieces.iter_mut().enumerate() {
            let length = word(bytes, 12 + index * 4)?;
            let end = at.checked_add(length).filter(|&end| end <= bytes.len());
            let end = end.ok_or_else(|| format!("says that table {index} has {length} bytes, which are not there"))?;
            *piece = &bytes[at..end];
            at = end;
        }
        let [json, arrays, ..] = pieces;
        if json.len() > MOST_TABLE {
            return Err(format!("has a feature table of {} bytes", json.len()));
        }
        let table = if json.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(json).map_err(|e| format!("its feature table is not JSON: {e}"))?
        };
        Ok(Self {
            kind,
            table,
            arrays,
            body: &bytes[at..],
            tables: at - header,
            count: 0,
        })
    }

    /// The tiles of a composite.
    pub(super) fn inner(&self) -> Result<Vec<&'a [u8]>, String> {
        if self.count > MOST_INNER {
            return Err(format!("are said to be {}", self.count));
        }
        let mut rest = self.body;
        let mut out = Vec::new();
        for number in 0..self.count {
            let length = word(rest, 8).map_err(|fault| format!("number {number} {fault}"))?;
            // Shorter than a header it would be read again for ever.
            let tile = rest.get(..length).filter(|_| length >= 16);
            out.push(
                tile.ok_or_else(|| format!("number {number} says it has {length} bytes, {} are left", rest.len()))?,
            );
            rest = &rest[length..];
        }
        Ok(out)
    }

    /// What positions are relative to.
    pub(super) fn center(&self) -> Result<DVec3, String> {
        match self.table.get("RTC_CENTER") {
            None => Ok(DVec3::ZERO),
            Some(center) => self.three(center).map_err(|fault| format!("RTC_CENTER {fault}")),
        }
    }

    /// Three numbers, as they are or in the arrays.
    pub(super) fn three(&self, value: &Value) -> Result<DVec3, String> {
        let numbers: Vec<f64> = match value["byteOffset"].as_u64() {
            Some(at) => {
                let bytes = self.array(at, 12)?;
                let each = bytes.as_chunks::<4>().0.iter();
                each.map(|&b| f64::from(f32::from_le_bytes(b))).collect()
            }
            None => value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_f64)
                .collect(),
        };
        match numbers[..] {
            [x, y, z] if numbers.iter().all(|v| v.is_finite() && v.abs() < 1e9) => Ok(DVec3::new(x, y, z)),
            _ => Err("is not three numbers".into()),
        }
    }

    /// So many bytes of the arrays.
    pub(super) fn array(&self, at: u64, bytes: u64) -> Result<&'a [u8], String> {
        let end = at.checked_add(bytes).and_then(|end| usize::try_from(end).ok());
        let range = usize::try_from(at).ok().zip(end).map(|(at, end)| at..end);
        range.and_then(|range| self.arrays.get(range)).ok_or_else(|| {
            format!(
                "{bytes} bytes at {at} lie outside the {} of the table",
                self.arrays.len()
            )
        })
    }

    /// A whole number of the feature table.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.table[name].as_u64()
    }

    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        match self.kind {
            Kind::Points => vec![("points", self.count("POINTS_LENGTH").unwrap_or(0))],
            Kind::Batched => vec![("batches", self.count("BATCH_LENGTH").unwrap_or(0))],
            Kind::Composite => vec![("tiles", self.count as u64)],
            Kind::Instances | Kind::Gltf => Vec::new(),
        }
    }

    pub(super) fn attributes(&self) -> Vec<String> {
        self.table
            .as_object()
            .into_iter()
            .flat_map(|t| t.keys().cloned())
            .take(32)
            .collect()
    }
}
