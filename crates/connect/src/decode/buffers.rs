//! Buffers that grow by a value at a time, give rows back off their end, and become Arrow arrays
//! without a copy.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray,
    StringArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};

/// Values of a fixed size and whether each is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Values<T> {
    values: Vec<T>,
    valid: Vec<bool>,
}

impl<T: Copy + Default + PartialEq> Values<T> {
    #[inline]
    pub(super) fn push(&mut self, value: T) {
        self.values.push(value);
        self.valid.push(true);
    }

    #[inline]
    pub(super) fn push_null(&mut self) {
        self.values.push(T::default());
        self.valid.push(false);
    }

    /// Whether the last value is one of `others`.
    pub(super) fn last_among(&self, others: &Self) -> bool {
        self.values
            .last()
            .is_some_and(|last| others.values.contains(last))
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
        self.valid.reserve(rows);
    }

    pub(super) fn is_null(&self, index: usize) -> bool {
        !self.valid[index]
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.valid.truncate(len);
    }

    /// The column of a primitive type whose native values these are.
    pub(super) fn primitive<P: ArrowPrimitiveType<Native = T>>(
        self,
        data_type: &DataType,
    ) -> ArrayRef
    where
        T: ArrowNativeType,
    {
        let values = ScalarBuffer::from(self.values);
        Arc::new(
            PrimitiveArray::<P>::new(values, nulls(self.valid)).with_data_type(data_type.clone()),
        )
    }
}

impl Values<bool> {
    pub(super) fn boolean(self) -> ArrayRef {
        Arc::new(BooleanArray::new(self.values.into(), nulls(self.valid)))
    }
}

impl Values<[u8; 16]> {
    pub(super) fn fixed_binary(self) -> ArrayRef {
        let bytes = Buffer::from_vec(self.values.into_flattened());
        Arc::new(FixedSizeBinaryArray::new(16, bytes, nulls(self.valid)))
    }
}

/// Byte strings laid end to end and whether each is there.
#[derive(Debug, Clone)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    ends: Vec<i32>,
    valid: Vec<bool>,
}

impl Default for Strings {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            ends: vec![0],
            valid: Vec::new(),
        }
    }
}

impl Strings {
    #[inline]
    pub(super) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end(true);
    }

    /// Appends what `write` adds to the bytes; nothing when it says false.
    pub(super) fn push_written(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let start = self.bytes.len();
        let written = write(&mut self.bytes);
        if written {
            self.end(true);
        } else {
            self.bytes.truncate(start);
        }
        written
    }

    #[inline]
    pub(super) fn push_null(&mut self) {
        self.end(false);
    }

    #[inline]
    fn end(&mut self, valid: bool) {
        let end = i32::try_from(self.bytes.len()).expect("a pull is bounded far below 2 GiB");
        self.ends.push(end);
        self.valid.push(valid);
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Makes room for so many more, their bytes guessed.
    pub(super) fn reserve(&mut self, rows: usize) {
        const USUAL_BYTES: usize = 12;
        self.bytes.reserve(rows * USUAL_BYTES);
        self.ends.reserve(rows);
        self.valid.reserve(rows);
    }

    pub(super) fn is_null(&self, index: usize) -> bool {
        !self.valid[index]
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.ends.truncate(len + 1);
        self.valid.truncate(len);
        self.bytes.truncate(self.ends[len] as usize);
    }

    fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.ends[index] as usize..self.ends[index + 1] as usize]
    }

    pub(super) fn last_among(&self, others: &Self) -> bool {
        let last = self.get(self.len() - 1);
        (0..others.len()).any(|index| others.get(index) == last)
    }

    pub(super) fn utf8(self) -> ArrayRef {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        Arc::new(StringArray::new(
            offsets,
            Buffer::from_vec(self.bytes),
            nulls(self.valid),
        ))
    }

    pub(super) fn binary(self) -> ArrayRef {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        Arc::new(BinaryArray::new(
            offsets,
            Buffer::from_vec(self.bytes),
            nulls(self.valid),
        ))
    }
}

/// None where no value is missing.
pub(super) fn nulls(valid: Vec<bool>) -> Option<NullBuffer> {
    valid.contains(&false).then(|| NullBuffer::from(valid))
}
