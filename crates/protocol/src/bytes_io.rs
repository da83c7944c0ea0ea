//! Little-endian reading and writing with errors that name the layout.

use crate::Error;
use glam::Vec3;

/// Reads fields in order.
pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
    read: usize,
}

macro_rules! get {
    ($($name:ident: $ty:ty),*) => {$(
        pub(crate) fn $name(&mut self) -> Result<$ty, Error> {
            self.array().map(<$ty>::from_le_bytes)
        }
    )*};
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            what,
            rest: bytes,
            read: 0,
        }
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let Some((head, tail)) = self.rest.split_at_checked(n) else {
            let available = self.read + self.rest.len();
            return Err(Error::Truncated {
                what: self.what,
                needed: self.read + n,
                available,
            });
        };
        self.rest = tail;
        self.read += n;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    get!(u8: u8, u16: u16, u32: u32, i16: i16, i64: i64, f32: f32);

    /// A finite f32, or an error naming the field.
    pub(crate) fn finite(&mut self, field: &'static str) -> Result<f32, Error> {
        let value = self.f32()?;
        if value.is_finite() {
            Ok(value)
        } else {
            Err(self.invalid(field, value))
        }
    }

    /// Three finite f32.
    pub(crate) fn vec3(&mut self, field: &'static str) -> Result<Vec3, Error> {
        Ok(Vec3::new(self.finite(field)?, self.finite(field)?, self.finite(field)?))
    }

    pub(crate) fn invalid(&self, field: &'static str, value: impl ToString) -> Error {
        Error::Invalid {
            what: self.what,
            field,
            value: value.to_string(),
        }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// All bytes must have been read.
    pub(crate) const fn end(self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::TooLong {
                what: self.what,
                extra: self.rest.len(),
            })
        }
    }
}
