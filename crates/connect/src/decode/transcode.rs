//! Formats that can be said in JSON, so that one decoder gives every declared type one meaning.

use async_trait::async_trait;
use factmill_core::records::Pulled;
use factmill_core::source::BoxedError;

use super::fault::Rejection;

/// Says payloads in JSON.
///
/// One buffer serves all records of a pull, so that a record costs no allocation, and its text is
/// read while it is still near.
#[async_trait]
pub(super) trait Transcode: Send + Sync {
    /// The document that a record's payload stands for, from the payload itself or written into
    /// `buffer`, which is empty; `None` where it says that its key is deleted.
    fn json<'p>(
        &self,
        pulled: &Pulled,
        index: usize,
        payload: &'p [u8],
        buffer: &'p mut Vec<u8>,
    ) -> Result<Option<&'p [u8]>, Rejection>;

    /// The document that a record's key stands for; asked for where the record deletes it.
    fn key<'p>(&self, key: &'p [u8], _buffer: &'p mut Vec<u8>) -> Result<&'p [u8], Rejection> {
        Ok(key)
    }

    /// See [`super::Decoder::prepare`].
    async fn prepare(&self, _pulled: &Pulled) -> Result<(), BoxedError> {
        Ok(())
    }
}

/// JSON as it is.
pub(super) struct Plain;

impl Transcode for Plain {
    fn json<'p>(
        &self,
        _pulled: &Pulled,
        _index: usize,
        payload: &'p [u8],
        _buffer: &'p mut Vec<u8>,
    ) -> Result<Option<&'p [u8]>, Rejection> {
        Ok(Some(payload))
    }
}
