//! Kinds of values: a comparison in a query finds only values of its own kind, and a sort puts one
//! kind behind the other.

use mongodb::bson::RawBsonRef;
use mongodb::bson::spec::ElementType;

/// Kinds that compare with each other, as `$type` names them. Arrays, regular expressions and
/// undefined are none.
pub(super) const ALL: [&str; 11] = [
    "minKey",
    "null",
    "number",
    "string",
    "object",
    "binData",
    "objectId",
    "bool",
    "date",
    "timestamp",
    "maxKey",
];

/// The kind of values of a type, where they have an order: all numbers are of one.
pub(super) fn of(element: ElementType) -> Option<&'static str> {
    use ElementType as T;
    Some(match element {
        T::MinKey => "minKey",
        T::Null => "null",
        T::Double | T::Int32 | T::Int64 | T::Decimal128 => "number",
        T::String => "string",
        T::EmbeddedDocument => "object",
        T::Binary => "binData",
        T::ObjectId => "objectId",
        T::Boolean => "bool",
        T::DateTime => "date",
        T::Timestamp => "timestamp",
        T::MaxKey => "maxKey",
        _ => return None,
    })
}

/// Nothing is greater than it in a query, though it is the first of all numbers: one cannot go on
/// behind it.
pub(super) fn is_nan(value: RawBsonRef<'_>) -> bool {
    match value {
        RawBsonRef::Double(number) => number.is_nan(),
        RawBsonRef::Decimal128(number) => number.to_string().ends_with("NaN"),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use mongodb::bson::Decimal128;

    #[test]
    fn nothing_goes_on_behind_a_nan() {
        assert!(is_nan(RawBsonRef::Double(f64::NAN)));
        let decimal: Decimal128 = "NaN".parse().unwrap();
        assert!(is_nan(RawBsonRef::Decimal128(decimal)));
        assert!(!is_nan(RawBsonRef::Double(0.0)));
        assert!(!is_nan(RawBsonRef::Double(f64::INFINITY)));
        assert!(!is_nan(RawBsonRef::String("NaN")));
    }
}
