//! SQL functions of one text.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::types::logical_string;
use datafusion::error::Result;
use datafusion::logical_expr::{
    Coercion, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignatureClass, Volatility,
};

use super::column::{TextColumn, down_the_column};

/// A text argument, of any of Arrow's text types.
pub(super) fn text() -> Coercion {
    Coercion::new_exact(TypeSignatureClass::Native(logical_string()))
}

/// A function that makes a value of each text of a column.
#[derive(Debug)]
pub(super) struct RowWise {
    pub(super) name: &'static str,
    pub(super) returns: DataType,
    pub(super) compute: fn(&TextColumn) -> Result<ArrayRef>,
}

impl RowWise {
    pub(super) fn into_function(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(Function {
            signature: Signature::coercible(vec![text()], Volatility::Immutable),
            of: self,
        }))
    }
}

#[derive(Debug)]
struct Function {
    of: RowWise,
    signature: Signature,
}

// A name stands for one function.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.of.name == other.of.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.of.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &'static str {
        self.of.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.of.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        down_the_column(&args, self.of.compute)
    }
}
