//! The rows of a PLY, in text or binary, one at a time into a buffer that is reused.

use std::io::BufRead;

use super::header::{Coding, Element, Kind};
use crate::Error;
use crate::source::Source;

/// Corners of a polygon; a longer list is damage.
pub(super) const LONGEST_LIST: usize = 4096;
/// Corners of all strips: some files have one list of them.
const LONGEST_STRIP: usize = 1 << 26;
/// Characters of a number.
const LONGEST_WORD: usize = 64;

/// A row: its numbers, and where each property's begin.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) values: Vec<f64>,
    starts: Vec<usize>,
}

impl Row {
    /// The numbers of a property: one, or those of a list.
    pub(super) fn of(&self, property: usize) -> &[f64] {
        let end = self.starts.get(property + 1).copied().unwrap_or(self.values.len());
        self.starts.get(property).map_or(&[], |&start| &self.values[start..end])
    }

    /// The number of a property that is not a list.
    pub(super) fn one(&self, property: usize) -> f64 {
        self.of(property).first().copied().unwrap_or_default()
    }
}

/// Reads rows.
pub(super) struct Rows<'a, R> {
    pub(super) source: &'a Source,
    pub(super) reader: R,
    pub(super) coding: Coding,
    buffer: Vec<u8>,
}

impl<'a, R: BufRead> Rows<'a, R> {
    pub(super) fn new(source: &'a Source, reader: R, coding: Coding) -> Self {
        Self {
            source,
            reader,
            coding,
            buffer: Vec::new(),
        }
    }

    /// Reads the row with this number of an element.
    pub(super) fn next(&mut self, element: &Element, number: u64, row: &mut Row) -> Result<(), Error> {
        row.values.clear();
        row.starts.clear();
        if self.coding != Coding::Text && element.properties.iter().all(|p| p.list.is_none()) {
            return self.fixed(element, number, row);
        }
        for property in &element.properties {
            row.starts.push(row.values.len());
            let Some(list) = property.list else {
                let value = self.value(property.kind, element, number)?;
                row.values.push(value);
                continue;
            };
            let count = self.value(list, element, number)?;
            let longest = if element.name == "tristrips" {
                LONGEST_STRIP
            } else {
                LONGEST_LIST
            };
            if !(0.0..=longest as f64).contains(&count) || count.fract() != 0.0 {
                return Err(self.fault(element, number, &format!("has a list of {count} numbers")));
            }
            // Checked above to be a small whole number.
            let mut left = count;
            while left > 0.0 {
                let value = self.value(property.kind, element, number)?;
                row.values.push(value);
                left -= 1.0;
            }
        }
        Ok(())
    }

    /// A binary row without lists, read at once.
    fn fixed(&mut self, element: &Element, number: u64, row: &mut Row) -> Result<(), Error> {
        let bytes = element.properties.iter().map(|p| p.kind.bytes()).sum();
        self.buffer.resize(bytes, 0);
        if self.reader.read_exact(&mut self.buffer).is_err() {
            return Err(self.fault(element, number, "is cut off"));
        }
        let mut at = 0;
        for property in &element.properties {
            let end = at + property.kind.bytes();
            let field = &mut self.buffer[at..end];
            if self.coding == Coding::Big {
                field.reverse();
            }
            row.starts.push(row.values.len());
            row.values.push(property.kind.little(field));
            at = end;
        }
        Ok(())
    }

    fn value(&mut self, kind: Kind, element: &Element, number: u64) -> Result<f64, Error> {
        if self.coding == Coding::Text {
            return self.word(element, number);
        }
        let mut bytes = [0_u8; 8];
        let field = &mut bytes[..kind.bytes()];
        if self.reader.read_exact(field).is_err() {
            return Err(self.fault(element, number, "is cut off"));
        }
        if self.coding == Coding::Big {
            field.reverse();
        }
        Ok(kind.little(field))
    }

    fn word(&mut self, element: &Element, number: u64) -> Result<f64, Error> {
        self.buffer.clear();
        loop {
            let available = self.reader.fill_buf().map_err(|e| self.source.io(e))?;
            if available.is_empty() {
                break;
            }
            let skip = if self.buffer.is_empty() {
                available.iter().take_while(|b| b.is_ascii_whitespace()).count()
            } else {
                0
            };
            let word = &available[skip..];
            let length = word.iter().take_while(|b| !b.is_ascii_whitespace()).count();
            if self.buffer.len() + length > LONGEST_WORD {
                return Err(self.fault(element, number, "has a word that is too long for a number"));
            }
            self.buffer.extend_from_slice(&word[..length]);
            let ended = length < word.len();
            self.reader.consume(skip + length);
            if ended && !self.buffer.is_empty() {
                break;
            }
        }
        if self.buffer.is_empty() {
            return Err(self.fault(element, number, "is cut off"));
        }
        let word = String::from_utf8_lossy(&self.buffer);
        let value = word.parse().ok();
        value.ok_or_else(|| self.fault(element, number, &format!("has {word:?} for a number")))
    }

    pub(super) fn fault(&self, element: &Element, number: u64, fault: &str) -> Error {
        self.source.fault(format!("{} {number}", element.name), fault)
    }
}

impl<R: BufRead + std::io::Seek> Rows<'_, R> {
    /// Goes to a byte of the file.
    pub(super) fn seek(&mut self, to: u64) -> Result<(), Error> {
        self.reader
            .seek(std::io::SeekFrom::Start(to))
            .map(drop)
            .map_err(|e| self.source.io(e))
    }
}
