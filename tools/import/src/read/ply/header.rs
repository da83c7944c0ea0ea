//! The header of a PLY: which elements there are, of which properties.

use std::io::BufRead;

use crate::Error;
use crate::source::Source;

/// Elements, properties and lines of a header; a longer one is damage.
const MOST_LINES: u64 = 2048;
const LONGEST_LINE: u64 = 1024;

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Text,
    Little,
    Big,
}

/// Types of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "char" | "int8" => Self::I8,
            "uchar" | "uint8" => Self::U8,
            "short" | "int16" => Self::I16,
            "ushort" | "uint16" => Self::U16,
            "int" | "int32" => Self::I32,
            "uint" | "uint32" => Self::U32,
            "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            _ => return None,
        })
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    /// The largest value of an integer type, 1 for floats: what full brightness is.
    pub(super) fn full(self) -> f64 {
        match self {
            Self::I8 => 127.0,
            Self::U8 => 255.0,
            Self::I16 => 32_767.0,
            Self::U16 => 65_535.0,
            Self::I32 => f64::from(i32::MAX),
            Self::U32 => f64::from(u32::MAX),
            Self::F32 | Self::F64 => 1.0,
        }
    }

    /// A number from as many bytes as [`Self::bytes`], in little-endian order.
    pub(super) fn little(self, bytes: &[u8]) -> f64 {
        let mut b = [0_u8; 8];
        b[..bytes.len()].copy_from_slice(bytes);
        let [b0, b1, b2, b3, ..] = b;
        match self {
            Self::I8 => f64::from(i8::from_le_bytes([b0])),
            Self::U8 => f64::from(b0),
            Self::I16 => f64::from(i16::from_le_bytes([b0, b1])),
            Self::U16 => f64::from(u16::from_le_bytes([b0, b1])),
            Self::I32 => f64::from(i32::from_le_bytes([b0, b1, b2, b3])),
            Self::U32 => f64::from(u32::from_le_bytes([b0, b1, b2, b3])),
            Self::F32 => f64::from(f32::from_le_bytes([b0, b1, b2, b3])),
            Self::F64 => f64::from_le_bytes(b),
        }
    }
}

/// A property of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The type of the count before a list.
    pub(super) list: Option<Kind>,
}

/// An element: so many rows of these properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) count: u64,
    pub(super) properties: Vec<Property>,
}

impl Element {
    /// The fewest bytes that a row takes.
    pub(super) fn least_bytes(&self, coding: Coding) -> u64 {
        let each = |p: &Property| match coding {
            Coding::Text => 2,
            _ => p.list.unwrap_or(p.kind).bytes() as u64,
        };
        self.properties.iter().map(each).sum()
    }

    pub(super) fn find(&self, names: &[&str]) -> Option<usize> {
        self.properties.iter().position(|p| names.contains(&p.name.as_str()))
    }

    /// Whether its rows are splats.
    pub(super) fn is_splats(&self) -> bool {
        ["f_dc_0", "opacity", "scale_0", "rot_0"]
            .iter()
            .all(|n| self.find(&[n]).is_some())
    }

    /// How many coefficients beyond the constant one its splats have, for each channel.
    pub(super) fn harmonics(&self) -> usize {
        let rest = self.properties.iter().filter(|p| p.name.starts_with("f_rest_")).count();
        rest / 3
    }
}

/// All that the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) coding: Coding,
    pub(super) elements: Vec<Element>,
    pub(super) comments: Vec<String>,
    /// Where the rows begin.
    pub(super) body: u64,
    /// Lines of the header, for messages.
    pub(super) lines: u64,
}

impl Header {
    /// Reads up to the line `end_header`.
    pub(super) fn read(source: &Source, reader: &mut impl BufRead) -> Result<Self, Error> {
        let mut out = Self {
            coding: Coding::Text,
            elements: Vec::new(),
            comments: Vec::new(),
            body: 0,
            lines: 0,
        };
        let mut coding = None;
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = std::io::Read::take(&mut *reader, LONGEST_LINE);
            let read = limited.read_until(b'\n', &mut line).map_err(|e| source.io(e))? as u64;
            out.lines += 1;
            out.body += read;
            let place = format!("line {}", out.lines);
            if read == 0 {
                return Err(source.fault(place, "ends the file before end_header"));
            }
            if read == LONGEST_LINE || out.lines > MOST_LINES {
                return Err(source.fault(place, "is too long, or one of too many, for a header"));
            }
            let text = String::from_utf8_lossy(&line);
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["ply"] if out.lines == 1 => {}
                ["format", "ascii", "1.0"] => coding = Some(Coding::Text),
                ["format", "binary_little_endian", "1.0"] => coding = Some(Coding::Little),
                ["format", "binary_big_endian", "1.0"] => coding = Some(Coding::Big),
                // Old versions of Blender forget the word before who wrote it.
                ["comment" | "obj_info", ..] | ["Created", "by", ..] => out.comments.push(words[1..].join(" ")),
                ["element", name, count] => {
                    let count = count
                        .parse()
                        .map_err(|_| source.fault(&place, format!("has the count {count:?}")))?;
                    out.elements.push(Element {
                        name: (*name).to_owned(),
                        count,
                        properties: Vec::new(),
                    });
                }
                ["property", rest @ ..] => {
                    let Some(element) = out.elements.last_mut() else {
                        return Err(source.fault(place, "is a property before any element"));
                    };
                    element
                        .properties
                        .push(property(rest).map_err(|f| source.fault(&place, f))?);
                }
                ["end_header"] => break,
                [] => {}
                [word, ..] => {
                    let word: String = word.chars().take(40).collect();
                    return Err(source.fault(place, format!("has {word:?}, which a PLY header does not know")));
                }
            }
        }
        out.coding = coding.ok_or_else(|| source.fault("header", "has no supported format line"))?;
        for element in &out.elements {
            let place = format!("element {:?}", element.name);
            if element.properties.is_empty() && element.count > 0 {
                return Err(source.fault(place, "has no properties"));
            }
            let bits = 8 * element.least_bytes(out.coding);
            source.believable(&place, "rows", element.count, bits)?;
        }
        Ok(out)
    }
}

fn property(words: &[&str]) -> Result<Property, String> {
    let kind = |name: &str| Kind::named(name).ok_or_else(|| format!("has the type {name:?}, which PLY does not know"));
    match *words {
        ["list", count, each, name] => {
            let list = kind(count)?;
            if list.is_float() {
                return Err("has a list counted in floats".into());
            }
            Ok(Property {
                name: name.to_owned(),
                kind: kind(each)?,
                list: Some(list),
            })
        }
        [each, name] => Ok(Property {
            name: name.to_owned(),
            kind: kind(each)?,
            list: None,
        }),
        _ => Err("is a property without a type and a name".into()),
    }
}
