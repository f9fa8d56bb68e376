//! The order of records as SQL functions: `factmill_order` and `factmill_order_unnested`.
//!
//! Both return the bytes of [`factmill_core::order`], so that a batch over the lake and a stream
//! order rows alike.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use factmill_core::order::OrderKey;

/// All functions of this file.
pub(crate) fn functions() -> [Arc<ScalarUDF>; 2] {
    [order(), order_unnested()]
}

/// `factmill_order(event_time, topic, incarnation, partition, offset)`.
pub(crate) fn order() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(RecordOrder {
        signature: Signature::any(5, Volatility::Immutable),
    }))
}

/// `factmill_order_unnested(order, index)`: the order of the row that came from the 1-based
/// `index` of a list in a record; a null index (an empty list that left a row) counts as 1.
pub(crate) fn order_unnested() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(UnnestedOrder {
        signature: Signature::any(2, Volatility::Immutable),
    }))
}

/// The order keys of records; `event_time` in microseconds since 1970 UTC.
pub(crate) fn encode(
    event_time: &ArrayRef,
    topic: &ArrayRef,
    incarnation: &ArrayRef,
    partition: &ArrayRef,
    offset: &ArrayRef,
) -> Result<BinaryArray> {
    // A column without values has Arrow's type Null.
    let event_time = cast(
        event_time,
        &DataType::Timestamp(TimeUnit::Microsecond, None),
    )?;
    let event_time = event_time.as_primitive::<TimestampMicrosecondType>();
    let topic = cast(topic, &DataType::Utf8)?;
    let topic = topic.as_string::<i32>();
    let incarnation = cast(incarnation, &DataType::Int32)?;
    let incarnation = incarnation.as_primitive::<Int32Type>();
    let partition = cast(partition, &DataType::Int32)?;
    let partition = partition.as_primitive::<Int32Type>();
    let offset = cast(offset, &DataType::Int64)?;
    let offset = offset.as_primitive::<Int64Type>();

    // Bytes of a key beside the topic: event time 9, end of topic 2, the four numbers 20.
    let rows = topic.len();
    let mut keys = BinaryBuilder::with_capacity(rows, topic.values().len() + rows * 31);
    let mut key = Vec::with_capacity(64);
    for row in 0..rows {
        key.clear();
        OrderKey {
            event_time: event_time.is_valid(row).then(|| event_time.value(row)),
            topic: topic.value(row),
            incarnation: incarnation.value(row),
            partition: partition.value(row),
            offset: offset.value(row),
            index: 0,
        }
        .encode(&mut key);
        keys.append_value(&key);
    }
    Ok(keys.finish())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RecordOrder {
    signature: Signature,
}

impl ScalarUDFImpl for RecordOrder {
    fn name(&self) -> &'static str {
        "factmill_order"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), DataType::Binary, false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [event_time, topic, incarnation, partition, offset] = &arrays[..] else {
            return datafusion::common::internal_err!("{} takes five arguments", self.name());
        };
        let keys = encode(event_time, topic, incarnation, partition, offset)?;
        Ok(ColumnarValue::Array(Arc::new(keys)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct UnnestedOrder {
    signature: Signature,
}

impl ScalarUDFImpl for UnnestedOrder {
    fn name(&self) -> &'static str {
        "factmill_order_unnested"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), DataType::Binary, false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [order, index] = &arrays[..] else {
            return datafusion::common::internal_err!("{} takes two arguments", self.name());
        };
        let order = order.as_binary::<i32>();
        let index = cast(index, &DataType::Int64)?;
        let index = index.as_primitive::<Int64Type>();
        let mut keys =
            BinaryBuilder::with_capacity(order.len(), order.value_data().len() + order.len() * 4);
        let mut key = Vec::with_capacity(64);
        for row in 0..order.len() {
            let position = if index.is_valid(row) {
                index.value(row)
            } else {
                1
            };
            let Ok(position) = i32::try_from(position) else {
                return datafusion::common::exec_err!(
                    "a list of {position} elements is too long to unnest"
                );
            };
            key.clear();
            key.extend_from_slice(order.value(row));
            // The key of a row that was unnested once more ends in one more index: keys of one
            // relation are unnested equally often, so they still compare field by field.
            key.extend_from_slice(&((position as u32) ^ (1 << 31)).to_be_bytes());
            keys.append_value(&key);
        }
        Ok(ColumnarValue::Array(Arc::new(keys.finish())))
    }
}
