//! `min_max_scale(value, 'scaler')`: a number by the least and the greatest that were stored.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array};
use datafusion::arrow::compute::{cast, unary};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use serde::Deserialize;

use super::project_files::{ProjectFile, ProjectFiles, literal, same_by_name_and_files};

const NAME: &str = "min_max_scale";

/// The function; `files` holds the scalers.
pub(super) fn function(files: &Arc<ProjectFiles>) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(MinMaxScale {
        signature: Signature::user_defined(Volatility::Immutable),
        files: Arc::clone(files),
    }))
}

/// The least and the greatest value that a scaler was made from.
#[derive(Debug, Deserialize)]
struct Scaler {
    data_min: f64,
    data_max: f64,
}

impl Scaler {
    /// 0 for the least, 1 for the greatest, beyond them for what lies beyond.
    fn scale(&self, value: f64) -> f64 {
        (value - self.data_min) / (self.data_max - self.data_min)
    }
}

impl ProjectFile for Scaler {
    const EXPECTED: &'static str = r#"a scaler looks like {"data_min": 0.5, "data_max": 1200}, `factmill produce payments --fit` writes one"#;

    fn check(&self) -> std::result::Result<(), String> {
        let Self { data_min, data_max } = self;
        if data_min < data_max {
            return Ok(());
        }
        Err(format!(
            "data_min {data_min} is not less than data_max {data_max}; fit the scaler to data with two values at least"
        ))
    }
}

#[derive(Debug)]
struct MinMaxScale {
    signature: Signature,
    files: Arc<ProjectFiles>,
}

same_by_name_and_files!(MinMaxScale);

impl ScalarUDFImpl for MinMaxScale {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [value, file]
                if (value.is_numeric() || value.is_null())
                    && (file.is_string() || file.is_null()) =>
            {
                Ok(vec![DataType::Float64, DataType::Utf8])
            }
            _ => plan_err!("call to '{NAME}': it takes a number and the name of a file"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.files
            .named::<Scaler>(NAME, literal(args.scalar_arguments, 1))?;
        Ok(Arc::new(Field::new(NAME, DataType::Float64, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value, ColumnarValue::Scalar(file)] = &args.args[..] else {
            return internal_err!("{NAME} takes a number and a literal");
        };
        let scaler = self.files.named::<Scaler>(NAME, Some(file))?;
        Ok(match value {
            ColumnarValue::Array(values) => ColumnarValue::Array(scaled(&scaler, values)?),
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(ScalarValue::try_from_array(
                &scaled(&scaler, &value.to_array()?)?,
                0,
            )?),
        })
    }
}

fn scaled(scaler: &Scaler, values: &ArrayRef) -> Result<ArrayRef> {
    let values = cast(values, &DataType::Float64)?;
    let scaled: Float64Array = unary(values.as_primitive::<Float64Type>(), |value| {
        scaler.scale(value)
    });
    Ok(Arc::new(scaled))
}
