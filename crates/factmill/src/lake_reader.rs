//! The lake for reading: its files are found where the writer puts them.

use factmill_connect::sink::lake::LakeLocation;
use factmill_engine::lake::{Lake, LakeError, LakeStore};

/// Opens the lake at `location` whose catalog lies in the warehouse at `database_url`. The catalog
/// must be there: [`factmill_connect::sink::lake::Lake::open`] makes it.
///
/// # Errors
/// When the warehouse does not answer.
pub(crate) async fn open(database_url: &str, location: &LakeLocation) -> Result<Lake, LakeError> {
    let store = location.object_store().map(|store| LakeStore {
        url: bucket(&location.data_path()),
        store,
    });
    // boxed: connecting with TLS is a large future, and it is part of many others
    Box::pin(Lake::connect(database_url, store)).await
}

/// `s3://bucket/` of `s3://bucket/prefix/`.
fn bucket(url: &str) -> String {
    let rest = url.trim_start_matches("s3://");
    format!("s3://{}/", rest.split('/').next().unwrap_or_default())
}
