//! Parquet files as every DuckLake client reads them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, LogicalType, Type as PhysicalType, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::{ColumnPath, SchemaDescriptor, Type, TypePtr};

use super::column::LakeColumn;

/// Rows of a row group, DuckDB's own number: readers skip groups, and share them among threads.
const ROW_GROUP_ROWS: usize = 122_880;
/// Bytes at the end of a file after its footer: the footer's length and `PAR1`.
const TAIL: usize = 8;

/// A Parquet file in memory.
pub(super) struct ParquetFile {
    pub(super) content: Vec<u8>,
    /// Length of the footer without the last eight bytes, as `footer_size` counts it.
    pub(super) footer_size: usize,
    /// Compressed bytes of each leaf, in the order of the schema.
    pub(super) leaf_bytes: Vec<i64>,
    /// What the writer found out about the bytes of each leaf, in the same order.
    pub(super) bounds: Vec<ByteBounds>,
}

/// Bytes at or below the least and at or above the greatest value of a leaf, as Parquet stores it;
/// `None` where there is none.
pub(super) type ByteBounds = Option<(Vec<u8>, Vec<u8>)>;

/// Encodes rows that have the [`stored_schema`] of the columns.
pub(super) fn encode(
    columns: &[LakeColumn],
    rows: &RecordBatch,
) -> Result<ParquetFile, ParquetError> {
    let schema = stored_schema(columns);
    let properties = properties(&schema);
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_parquet_schema(parquet_schema(&schema)?)
        // readers take the types from the catalog
        .with_skip_arrow_metadata(true);
    let mut content = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut content, schema, options)?;
    writer.write(rows)?;
    let metadata = writer.close()?;

    let mut leaf_bytes = vec![0; metadata.file_metadata().schema_descr().num_columns()];
    for group in metadata.row_groups() {
        for (bytes, chunk) in leaf_bytes.iter_mut().zip(group.columns()) {
            *bytes += chunk.compressed_size();
        }
    }
    let bounds = (0..leaf_bytes.len())
        .map(|leaf| byte_bounds(metadata.row_groups(), leaf))
        .collect();
    let length = content
        .len()
        .checked_sub(TAIL)
        .map(|at| &content[at..at + 4]);
    let footer_size = length
        .and_then(|length| length.try_into().ok())
        .map_or(0, u32::from_le_bytes);
    Ok(ParquetFile {
        content,
        footer_size: footer_size as usize,
        leaf_bytes,
        bounds,
    })
}

/// The bounds over all groups that have values.
fn byte_bounds(groups: &[RowGroupMetaData], leaf: usize) -> ByteBounds {
    let mut bounds: Option<(&[u8], &[u8])> = None;
    for group in groups {
        let chunk = group.column(leaf);
        let statistics = chunk.statistics()?;
        if statistics.null_count_opt() == u64::try_from(chunk.num_values()).ok() {
            continue;
        }
        let min = statistics.min_bytes_opt()?;
        let max = statistics.max_bytes_opt()?;
        bounds = Some(bounds.map_or((min, max), |(low, high)| (low.min(min), high.max(max))));
    }
    bounds.map(|(min, max)| (min.to_vec(), max.to_vec()))
}

fn properties(schema: &Schema) -> WriterProperties {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by(concat!("factmill ", env!("CARGO_PKG_VERSION")).to_owned());
    let seldom_repeated = schema
        .fields()
        .iter()
        .filter(|field| is_seldom_repeated(field));
    seldom_repeated
        .fold(properties, |properties, field| {
            let column = ColumnPath::from(field.name().as_str());
            properties.set_column_dictionary_enabled(column, false)
        })
        .build()
}

/// Whether a dictionary of the column's values would be as long as the column: uuids, times, offsets.
fn is_seldom_repeated(field: &Field) -> bool {
    matches!(
        field.data_type(),
        DataType::FixedSizeBinary(16) | DataType::Timestamp(..) | DataType::Int64
    )
}

/// The Arrow schema of a file, with DuckLake's column ids.
pub(super) fn stored_schema(columns: &[LakeColumn]) -> SchemaRef {
    Arc::new(Schema::new(
        columns
            .iter()
            .map(LakeColumn::stored_field)
            .collect::<Vec<_>>(),
    ))
}

/// The Parquet schema: Arrow's own, with 16 fixed bytes named as what they are here, a UUID.
fn parquet_schema(schema: &Schema) -> Result<SchemaDescriptor, ParquetError> {
    let plain = ArrowSchemaConverter::new()
        .schema_root("factmill")
        .convert(schema)?;
    Ok(SchemaDescriptor::new(Arc::new(with_uuids(
        plain.root_schema(),
        true,
    )?)))
}

fn with_uuids(node: &Type, root: bool) -> Result<Type, ParquetError> {
    let info = node.get_basic_info();
    let id = info.has_id().then(|| info.id());
    match node {
        Type::PrimitiveType {
            physical_type: PhysicalType::FIXED_LEN_BYTE_ARRAY,
            type_length: 16,
            ..
        } if info.logical_type_ref().is_none() => {
            Type::primitive_type_builder(info.name(), PhysicalType::FIXED_LEN_BYTE_ARRAY)
                .with_repetition(info.repetition())
                .with_logical_type(Some(LogicalType::Uuid))
                .with_length(16)
                .with_id(id)
                .build()
        }
        Type::PrimitiveType { .. } => Ok(node.clone()),
        Type::GroupType { fields, .. } => {
            let fields = fields
                .iter()
                .map(|field| with_uuids(field, false).map(Arc::new));
            let group = Type::group_type_builder(info.name())
                .with_fields(fields.collect::<Result<Vec<TypePtr>, _>>()?)
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_id(id);
            // only the root has no repetition
            if root {
                group
            } else {
                group.with_repetition(info.repetition())
            }
            .build()
        }
    }
}
