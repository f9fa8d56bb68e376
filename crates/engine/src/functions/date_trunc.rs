//! `date_trunc(unit, instant)` for every year that a source may hold.
//!
//! DataFusion's own computes in nanoseconds where an instant has a time zone, so an instant before 1677
//! or after 2262 is an error: one such record, which its contract accepts, would stop every later rebuild
//! of an aggregate by hour. The calendar repeats every 400 years, weekdays included, so it is asked about
//! the same instant of years that it knows.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use datafusion::arrow::compute::binary;
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType as Micros,
};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions::datetime::date_trunc;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

/// 400 years of the Gregorian calendar, in microseconds.
const ERA: i64 = 146_097 * 86_400_000_000;
/// 1800-01-01 in UTC: the years from there to 2199 are asked about.
const FIRST: i64 = -5_364_662_400_000_000;

/// The function; it stands in the place of DataFusion's, whatever else it is asked for.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(DateTrunc { of: date_trunc() }))
}

/// The whole eras that lie between an instant and the same one of the years that are asked about.
fn eras(instant: i64) -> i64 {
    instant.saturating_sub(FIRST).div_euclid(ERA) * ERA
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateTrunc {
    of: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        self.of.name()
    }

    fn aliases(&self) -> &[String] {
        self.of.aliases()
    }

    fn signature(&self) -> &Signature {
        self.of.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.of.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.of.return_field_from_args(args)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.of.output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.of.documentation()
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(DataType::Timestamp(TimeUnit::Microsecond, zone)) =
            args.args.get(1).map(ColumnarValue::data_type)
        else {
            return self.of.invoke_with_args(args);
        };
        // where offsets change, years differ from those 400 years before
        if !matches!(zone.as_deref(), None | Some("UTC" | "+00:00")) {
            return self.of.invoke_with_args(args);
        }
        let is_scalar = matches!(args.args[1], ColumnarValue::Scalar(_));
        let instants = args.args[1].to_array(1)?;
        let instants = instants.as_primitive::<Micros>();
        let known: TimestampMicrosecondArray =
            instants.unary(|instant| instant.wrapping_sub(eras(instant)));
        // without its zone, hours and days are plain arithmetic
        args.return_field = Arc::new(Field::new(
            self.name(),
            DataType::Timestamp(TimeUnit::Microsecond, None),
            true,
        ));
        args.args[1] = ColumnarValue::Array(Arc::new(known));
        let begun = self.of.invoke_with_args(args)?.to_array(instants.len())?;
        let begun: TimestampMicrosecondArray = binary(
            begun.as_primitive::<Micros>(),
            instants,
            |begun, instant| begun.wrapping_add(eras(instant)),
        )?;
        let begun: ArrayRef = Arc::new(begun.with_timezone_opt(zone));
        Ok(match is_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&begun, 0)?),
            false => ColumnarValue::Array(begun),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::physical_plan::collect;
    use datafusion::prelude::SessionContext;
    use factmill_planner::Parsed;

    use crate::session::{Memory, state};

    const UNITS: [&str; 10] = [
        "microsecond",
        "millisecond",
        "second",
        "minute",
        "hour",
        "day",
        "week",
        "month",
        "quarter",
        "year",
    ];

    async fn answer(context: &SessionContext, query: &str) -> String {
        let state = context.state();
        let parsed = Parsed::parse(&state, query).unwrap();
        let plan = parsed.plan(&state).await.unwrap();
        let plan = factmill_planner::physical(&state, &plan).await.unwrap();
        let rows = collect(plan, context.task_ctx()).await.unwrap();
        pretty_format_batches(&rows).unwrap().to_string()
    }

    fn ours() -> SessionContext {
        SessionContext::new_with_state(
            state(&Memory::batch(), 1, std::path::Path::new(".")).unwrap(),
        )
    }

    /// A query over rows, so that nothing is folded into a constant while it is planned.
    fn each_unit(instants: &str, zone: &str) -> String {
        let units: Vec<_> = UNITS
            .iter()
            .map(|unit| format!("date_trunc('{unit}', at) as {unit}"))
            .collect();
        let units = units.join(", ");
        format!(
            "select {units} from (select arrow_cast(text, 'Timestamp(Microsecond, {zone})') as at \
             from (values {instants}) as v(text)) order by at"
        )
    }

    #[tokio::test]
    async fn instants_that_datafusion_knows_are_truncated_as_it_does() {
        let instants = "('1678-01-01T00:00:00.000001Z'), ('1799-12-31T23:59:59.999999Z'), ('1800-01-01T00:00:00Z'), \
                        ('1969-12-31T23:59:59.999999Z'), ('1970-01-01T00:00:00Z'), ('2024-02-29T12:34:56.789012Z'), \
                        ('2199-12-31T23:59:59.999999Z'), ('2200-01-01T00:00:00Z'), ('2262-04-10T01:02:03Z'), (null)";
        for zone in [
            "None",
            "Some(\"UTC\")",
            "Some(\"+00:00\")",
            "Some(\"Europe/Paris\")",
        ] {
            let query = each_unit(instants, zone);
            let theirs = answer(&SessionContext::new(), &query).await;
            assert_eq!(answer(&ours(), &query).await, theirs, "{zone}");
        }
    }

    #[tokio::test]
    async fn every_year_of_a_source_can_be_truncated() {
        let query =
            "select date_trunc(unit, arrow_cast(text, 'Timestamp(Microsecond, Some(\"UTC\"))'))";
        for (instant, unit, begun) in [
            ("0001-01-01T00:00:00Z", "hour", "0001-01-01T00:00:00Z"),
            ("0001-03-07T13:14:15.5Z", "hour", "0001-03-07T13:00:00Z"),
            ("0001-03-07T13:14:15.5Z", "year", "0001-01-01T00:00:00Z"),
            (
                "9999-12-31T23:59:59.999999Z",
                "minute",
                "9999-12-31T23:59:00Z",
            ),
            (
                "9999-12-31T23:59:59.999999Z",
                "hour",
                "9999-12-31T23:00:00Z",
            ),
            (
                "9999-12-31T23:59:59.999999Z",
                "week",
                "9999-12-27T00:00:00Z",
            ),
            (
                "9999-12-31T23:59:59.999999Z",
                "quarter",
                "9999-10-01T00:00:00Z",
            ),
        ] {
            let query = query.replace("unit", &format!("'{unit}'"));
            for from in [
                format!("from (values ('{instant}')) as v(text)"),
                String::new(),
            ] {
                let query = match from.is_empty() {
                    true => query.replace("text", &format!("'{instant}'")),
                    false => format!("{query} {from}"),
                };
                let found = answer(&ours(), &query).await;
                assert!(found.contains(&format!(" {begun} ")), "{query}:\n{found}");
            }
        }
    }
}
