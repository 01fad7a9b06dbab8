//! A growing byte string that knows its word size and byte order.

use super::choices::{Class, Order};

#[derive(Clone, Debug)]
pub(crate) struct Bytes {
    class: Class,
    order: Order,
    pub(crate) data: Vec<u8>,
}

impl Bytes {
    pub(crate) fn new(class: Class, order: Order) -> Self {
        Self { class, order, data: Vec::new() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.data.len() as u64
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.data.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        match self.order {
            Order::Little => self.raw(&value.to_le_bytes()),
            Order::Big => self.raw(&value.to_be_bytes()),
        }
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        match self.order {
            Order::Little => self.raw(&value.to_le_bytes()),
            Order::Big => self.raw(&value.to_be_bytes()),
        }
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        match self.order {
            Order::Little => self.raw(&value.to_le_bytes()),
            Order::Big => self.raw(&value.to_be_bytes()),
        }
    }

    /// Four bytes in a 32-bit file, eight in a 64-bit one. A value that does not fit is a mistake in the spec.
    pub(crate) fn word(&mut self, value: u64) -> &mut Self {
        match self.class {
            Class::Elf32 => self.u32(u32::try_from(value).expect("a 32-bit image needs 32-bit values")),
            Class::Elf64 => self.u64(value),
        }
    }

    /// Pads with `fill` up to the next multiple of `align`.
    pub(crate) fn pad_to(&mut self, align: u64, fill: u8) -> &mut Self {
        let wanted = round_up(self.len(), align);
        self.data.resize(wanted as usize, fill);
        self
    }
}

pub(crate) fn round_up(value: u64, align: u64) -> u64 {
    let align = align.max(1);
    value.div_ceil(align) * align
}
