//! The min-max scaler: fitted once, kept as JSON, applied to every amount.

use std::path::Path;

use polars_core::prelude::{BooleanChunked, ChunkApply, ChunkCompareIneq, Float64Chunked};
use serde::{Deserialize, Serialize};

use super::error::{PaymentsError, ScalerError};
use super::files;

/// The range of amounts that is scaled to 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scaler {
    data_min: f64,
    data_max: f64,
}

/// A scaler as it is written, not yet checked.
#[derive(Deserialize)]
struct Bounds {
    data_min: f64,
    data_max: f64,
}

impl Scaler {
    /// A scaler from the least and the greatest amount.
    ///
    /// # Errors
    /// [`ScalerError`] when they are the wrong way round or no numbers.
    pub fn new(data_min: f64, data_max: f64) -> Result<Self, ScalerError> {
        if data_min > data_max {
            return Err(ScalerError::UpsideDown { data_min, data_max });
        }
        if !(data_max - data_min).is_finite() {
            return Err(ScalerError::TooWide { data_min, data_max });
        }
        Ok(Self { data_min, data_max })
    }

    /// Reads a scaler file: `{"data_min": …, "data_max": …}`; other keys are ignored.
    ///
    /// # Errors
    /// [`PaymentsError::Scaler`] when there is no such file or no scaler in it.
    pub fn load(path: &Path) -> Result<Self, PaymentsError> {
        let read = || -> Result<Self, ScalerError> {
            let bounds: Bounds = serde_json::from_slice(&std::fs::read(path)?)?;
            Self::new(bounds.data_min, bounds.data_max)
        };
        read().map_err(|source| PaymentsError::Scaler {
            path: path.to_owned(),
            source,
        })
    }

    /// Writes the scaler file, whole or not at all.
    ///
    /// # Errors
    /// [`PaymentsError::Output`].
    pub fn save(&self, path: &Path) -> Result<(), PaymentsError> {
        let text = format!("{}\n", serde_json::json!(self));
        files::replace(path, text.as_bytes()).map_err(|source| PaymentsError::Output {
            path: path.to_owned(),
            source,
        })
    }

    /// The least amount of what the scaler was fitted to.
    pub fn data_min(&self) -> f64 {
        self.data_min
    }

    /// The greatest amount of what the scaler was fitted to.
    pub fn data_max(&self) -> f64 {
        self.data_max
    }

    /// `(amount - data_min) / (data_max - data_min)`, also where that is below 0 or above 1. Where
    /// all amounts were the same the divisor is 1, as in scikit-learn.
    pub(super) fn scale(&self, amounts: &Float64Chunked) -> Float64Chunked {
        let range = match self.data_max - self.data_min {
            0.0 => 1.0,
            range => range,
        };
        amounts.apply_values(|amount| (amount - self.data_min) / range)
    }

    /// Whether an amount lies outside of what the scaler was fitted to; null for a null amount.
    pub(super) fn is_out_of_range(&self, amounts: &Float64Chunked) -> BooleanChunked {
        amounts.lt(self.data_min) | amounts.gt(self.data_max)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use polars_core::prelude::*;

    #[test]
    fn amounts_are_scaled_and_never_clipped() {
        let scaler = Scaler::new(-10.0, 30.0).unwrap();
        let amounts = Float64Chunked::from_slice_options(
            "a".into(),
            &[Some(-10.0), Some(30.0), Some(50.0), None, Some(-11.0)],
        );
        let scaled: Vec<_> = scaler.scale(&amounts).iter().collect();
        assert_eq!(
            scaled,
            [Some(0.0), Some(1.0), Some(1.5), None, Some(-0.025)]
        );
        let flags: Vec<_> = scaler.is_out_of_range(&amounts).iter().collect();
        assert_eq!(
            flags,
            [Some(false), Some(false), Some(true), None, Some(true)]
        );
    }

    #[test]
    fn one_amount_alone_is_scaled_to_zero() {
        let scaler = Scaler::new(5.0, 5.0).unwrap();
        let scaled = scaler.scale(&Float64Chunked::from_slice("a".into(), &[5.0, 7.0]));
        assert_eq!(scaled.iter().collect::<Vec<_>>(), [Some(0.0), Some(2.0)]);
    }

    #[test]
    fn a_range_that_is_none_is_refused() {
        assert!(matches!(
            Scaler::new(2.0, 1.0),
            Err(ScalerError::UpsideDown { .. })
        ));
        assert!(matches!(
            Scaler::new(f64::MIN, f64::MAX),
            Err(ScalerError::TooWide { .. })
        ));
        assert!(matches!(
            Scaler::new(f64::NAN, 1.0),
            Err(ScalerError::TooWide { .. })
        ));
    }
}
