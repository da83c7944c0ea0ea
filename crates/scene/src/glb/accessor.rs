//! Typed arrays out of buffers, with every count and offset checked before anything is allocated.

use gltf::json;
use json::accessor::{ComponentType, Type};

use super::{Source, label};
use crate::Error;

/// The checked bytes of an accessor.
pub(super) struct Elements<'a> {
    bytes: &'a [u8],
    stride: usize,
    /// Number of elements; all of them lie within `bytes`.
    pub(super) count: usize,
    component: ComponentType,
    normalized: bool,
    width: usize,
}

impl Source<'_> {
    /// Checks an accessor: it must have one of `types`, and its elements must lie in its buffer.
    pub(super) fn elements(&self, index: usize, place: &str, types: &[Type]) -> Result<Elements<'_>, Error> {
        let accessor = self.get(&self.root.accessors, index, place, "accessor")?;
        let place = format!("{place}, {}", label("accessor", index, accessor.name.as_ref()));
        if accessor.sparse.is_some() {
            return Err(self.fault(place, "sparse accessors are not supported"));
        }
        let shape = self.valid(&accessor.type_, &place, "type")?;
        if !types.contains(&shape) {
            return Err(self.fault(place, format!("is {shape:?}, expected one of {types:?}")));
        }
        let component = self.valid(&accessor.component_type, &place, "componentType")?.0;
        let Some(view) = accessor.buffer_view else {
            return Err(self.fault(place, "has no bufferView"));
        };
        let (bytes, stride) = self.view(view.value(), &place)?;
        let size = component.size() * shape.multiplicity();
        let stride = stride.unwrap_or(size);
        if stride < size {
            return Err(self.fault(
                place,
                format!("byteStride {stride} is smaller than an element of {size} bytes"),
            ));
        }
        let offset = accessor.byte_offset.unwrap_or_default().0;
        let count = accessor.count.0;
        let needed = count.checked_sub(1).map_or(Some(0), |gaps| {
            gaps.checked_mul(stride as u64)?.checked_add(size as u64)
        });
        let end = needed.and_then(|n| n.checked_add(offset));
        if end.is_none_or(|end| end > bytes.len() as u64) {
            let fault = format!(
                "{count} elements from byte {offset} do not fit the {} bytes of its view",
                bytes.len()
            );
            return Err(self.fault(place, fault));
        }
        let (Ok(count), Ok(offset)) = (usize::try_from(count), usize::try_from(offset)) else {
            return Err(self.fault(place, "is larger than this machine's memory"));
        };
        Ok(Elements {
            bytes: &bytes[offset..],
            stride,
            count,
            component,
            normalized: accessor.normalized,
            width: shape.multiplicity(),
        })
    }

    /// Floats, or integers in their place: normalised ones, and with `KHR_mesh_quantization` any. Non-finite numbers
    /// are errors.
    pub(super) fn floats<const N: usize>(
        &self,
        index: usize,
        place: &str,
        shape: Type,
    ) -> Result<Vec<[f32; N]>, Error> {
        let elements = self.elements(index, place, &[shape])?;
        let quantised = || {
            let mut used = self.root.extensions_used.iter().chain(&self.root.extensions_required);
            used.any(|e| e == "KHR_mesh_quantization")
        };
        if elements.component != ComponentType::F32 && !elements.normalized && !quantised() {
            return Err(self.fault(
                place,
                format!("accessor {index} has {:?}, expected floats", elements.component),
            ));
        }
        let mut out = Vec::with_capacity(elements.count);
        for element in 0..elements.count {
            let value: [f32; N] = std::array::from_fn(|c| elements.number(element, c));
            if !value.iter().all(|v| v.is_finite()) {
                return Err(self.fault(
                    place,
                    format!("element {element} of accessor {index} is not finite: {value:?}"),
                ));
            }
            out.push(value);
        }
        Ok(out)
    }
}

impl Elements<'_> {
    pub(super) fn component(&self) -> ComponentType {
        self.component
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    fn raw<const B: usize>(&self, element: usize, component: usize) -> [u8; B] {
        let at = element * self.stride + component * B;
        self.bytes
            .get(at..at + B)
            .and_then(|b| b.try_into().ok())
            .unwrap_or([0; B])
    }

    /// One component as a number; normalised integers are mapped to 0..=1 or −1..=1.
    fn number(&self, element: usize, component: usize) -> f32 {
        if self.normalized {
            return self.float(element, component);
        }
        match self.component {
            ComponentType::F32 => self.float(element, component),
            ComponentType::U8 => f32::from(self.raw::<1>(element, component)[0]),
            ComponentType::I8 => f32::from(i8::from_le_bytes(self.raw(element, component))),
            ComponentType::U16 => f32::from(u16::from_le_bytes(self.raw(element, component))),
            ComponentType::I16 => f32::from(i16::from_le_bytes(self.raw(element, component))),
            ComponentType::U32 => u32::from_le_bytes(self.raw(element, component)) as f32,
        }
    }

    /// One component, integers mapped to 0..=1 or −1..=1.
    pub(super) fn float(&self, element: usize, component: usize) -> f32 {
        match self.component {
            ComponentType::F32 => f32::from_le_bytes(self.raw(element, component)),
            ComponentType::U8 => f32::from(self.raw::<1>(element, component)[0]) / 255.0,
            ComponentType::I8 => (f32::from(i8::from_le_bytes(self.raw(element, component))) / 127.0).max(-1.0),
            ComponentType::U16 => f32::from(u16::from_le_bytes(self.raw(element, component))) / 65535.0,
            ComponentType::I16 => (f32::from(i16::from_le_bytes(self.raw(element, component))) / 32767.0).max(-1.0),
            ComponentType::U32 => u32::from_le_bytes(self.raw(element, component)) as f32 / u32::MAX as f32,
        }
    }

    /// An unsigned integer; `None` for signed and float components.
    pub(super) fn index(&self, element: usize) -> Option<u32> {
        match self.component {
            ComponentType::U8 => Some(u32::from(self.raw::<1>(element, 0)[0])),
            ComponentType::U16 => Some(u32::from(u16::from_le_bytes(self.raw(element, 0)))),
            ComponentType::U32 => Some(u32::from_le_bytes(self.raw(element, 0))),
            ComponentType::I8 | ComponentType::I16 | ComponentType::F32 => None,
        }
    }
}
