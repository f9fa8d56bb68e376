//! Columns of a lake table: their ids, their types in DuckLake, in Parquet and inlined in Postgres.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use factmill_core::types::DeclaredType;

/// Bytes of a Postgres identifier; a longer column name would be cut there.
const POSTGRES_NAME: usize = 63;
/// Names that the table of inlined rows has already, Postgres's own included.
const RESERVED: [&str; 9] = [
    "row_id",
    "begin_snapshot",
    "end_snapshot",
    "tableoid",
    "xmin",
    "cmin",
    "xmax",
    "cmax",
    "ctid",
];

/// A column, or a field of one, as the catalog knows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LakeColumn {
    /// `column_id`, also the field id in Parquet; unique in its table for ever.
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) data_type: DeclaredType,
    pub(super) nullable: bool,
    /// The fields of a struct, or the one `element` of a list.
    pub(super) children: Vec<LakeColumn>,
}

impl LakeColumn {
    /// The column for an Arrow field, with ids from `next_id` on in depth-first order.
    ///
    /// Fails with the reason when its type cannot be kept.
    pub(super) fn new(field: &Field, next_id: &mut i64) -> Result<Self, String> {
        let data_type =
            DeclaredType::from_arrow(field.data_type()).map_err(|error| error.to_string())?;
        Self::typed(field.name(), data_type, field.is_nullable(), next_id)
    }

    fn typed(
        name: &str,
        data_type: DeclaredType,
        nullable: bool,
        next_id: &mut i64,
    ) -> Result<Self, String> {
        if name.is_empty() || name.contains('\0') {
            return Err("its name is empty or has a NUL".into());
        }
        let id = *next_id;
        *next_id += 1;
        let children = match &data_type {
            DeclaredType::Struct(fields) if fields.is_empty() => {
                return Err("a struct without fields has no columns to keep".into());
            }
            DeclaredType::Struct(fields) => fields
                .iter()
                .map(|field| Self::typed(&field.name, field.data_type.clone(), true, next_id))
                .collect::<Result<_, _>>()?,
            DeclaredType::List(item) => {
                vec![Self::typed("element", (**item).clone(), true, next_id)?]
            }
            _ => Vec::new(),
        };
        Ok(Self {
            id,
            name: name.to_owned(),
            data_type,
            nullable,
            children,
        })
    }

    /// `column_type` in the catalog.
    pub(super) fn ducklake_type(&self) -> Cow<'static, str> {
        ducklake_type(&self.data_type)
    }

    /// The type of its column in the Postgres table of inlined rows, as DuckDB chooses them: text is
    /// kept as bytes; what Postgres would spell in another way, and what it has no type for, as text.
    pub(super) fn inlined_type(&self) -> DeclaredType {
        use DeclaredType as T;
        match storage(&self.data_type) {
            T::Text => T::Bytea,
            T::Date | T::Timestamp | T::TimestampTz | T::Struct(_) | T::List(_) => T::Text,
            other => other,
        }
    }

    /// [`LakeColumn::inlined_type`] in the spelling of DuckDB's own tables.
    pub(super) fn inlined_ddl(&self) -> String {
        match self.inlined_type() {
            DeclaredType::Text => "varchar".into(),
            other => other.postgres(),
        }
    }

    /// The Arrow field that is written to Parquet, with DuckLake's ids.
    pub(super) fn stored_field(&self) -> FieldRef {
        let data_type = match &self.data_type {
            DeclaredType::Struct(_) => DataType::Struct(
                self.children
                    .iter()
                    .map(Self::stored_field)
                    .collect::<Fields>(),
            ),
            DeclaredType::List(_) => DataType::List(self.children[0].stored_field()),
            scalar => storage(scalar).arrow(),
        };
        let id = [(
            parquet::arrow::PARQUET_FIELD_ID_META_KEY.to_owned(),
            self.id.to_string(),
        )];
        Arc::new(Field::new(&self.name, data_type, self.nullable).with_metadata(id.into()))
    }

    /// This column and all below it, itself first, parents before children, with their parent.
    pub(super) fn walk(&self) -> Vec<(&Self, Option<&Self>)> {
        let mut all = vec![(self, None)];
        for child in &self.children {
            all.extend(
                child
                    .walk()
                    .into_iter()
                    .map(|(column, parent)| (column, parent.or(Some(self)))),
            );
        }
        all
    }

    /// The columns without children at and below this one, in Parquet's order of leaves.
    pub(super) fn leaves(&self) -> Vec<&Self> {
        self.walk()
            .into_iter()
            .map(|(column, _)| column)
            .filter(|column| column.children.is_empty())
            .collect()
    }

    pub(super) fn is_float(&self) -> bool {
        matches!(self.data_type, DeclaredType::Real | DeclaredType::Double)
    }

    /// Whether a column of this name can stand in a Postgres table of inlined rows.
    pub(super) fn inlinable_name(&self) -> bool {
        self.name.len() <= POSTGRES_NAME
            && !RESERVED
                .iter()
                .any(|reserved| self.name.eq_ignore_ascii_case(reserved))
    }
}

/// The type that the lake keeps values of a declared type in.
///
/// DuckLake's decimals end at 38 digits and Parquet's intervals at milliseconds, so wider ones are
/// text. JSON is text too, as it is in Arrow.
fn storage(declared: &DeclaredType) -> DeclaredType {
    use DeclaredType as T;
    match declared {
        T::Numeric(None) | T::Interval | T::Varchar(_) | T::Char(_) | T::Json => T::Text,
        T::Numeric(Some(precision)) if precision.digits() > 38 => T::Text,
        other => other.clone(),
    }
}

/// The name of a declared type in DuckLake.
pub(super) fn ducklake_type(declared: &DeclaredType) -> Cow<'static, str> {
    use DeclaredType as T;
    match storage(declared) {
        T::SmallInt => "int16".into(),
        T::Integer => "int32".into(),
        T::BigInt => "int64".into(),
        T::Real => "float32".into(),
        T::Double => "float64".into(),
        T::Numeric(Some(precision)) => {
            format!("decimal({},{})", precision.digits(), precision.scale()).into()
        }
        T::Boolean => "boolean".into(),
        T::Date => "date".into(),
        T::Time => "time".into(),
        T::Timestamp => "timestamp".into(),
        T::TimestampTz => "timestamptz".into(),
        T::Bytea => "blob".into(),
        T::Uuid => "uuid".into(),
        T::List(_) => "list".into(),
        T::Struct(_) => "struct".into(),
        T::Text | T::Varchar(_) | T::Char(_) | T::Json | T::Interval | T::Numeric(None) => {
            "varchar".into()
        }
    }
}
