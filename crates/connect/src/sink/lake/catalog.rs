//! The rows of the catalog that describe the lake as a whole.

use tokio_postgres::{Client, GenericClient};
use uuid::Uuid;

use super::error::LakeError;
use super::location::LakeLocation;

/// The version of DuckLake that is written.
const VERSION: &str = "1.0";

/// Fills an empty catalog, or checks that the one there is this lake's.
pub(super) async fn open(client: &Client, location: &LakeLocation) -> Result<(), LakeError> {
    let data_path = location.data_path();
    let schema_id = Uuid::now_v7();
    // one statement, so that of two processes that open a new lake one fills it whole
    client
        .execute(
            "with first as (
                 insert into lake.ducklake_snapshot
                     (snapshot_id, snapshot_time, schema_version, next_catalog_id, next_file_id)
                 select 0, clock_timestamp(), 0, 1, 0
                 where not exists (select from lake.ducklake_snapshot)
                 on conflict do nothing
                 returning snapshot_id
             ), changes as (
                 insert into lake.ducklake_snapshot_changes (snapshot_id, changes_made)
                 select snapshot_id, 'created_schema:\"main\"' from first
             ), main as (
                 insert into lake.ducklake_schema
                     (schema_id, schema_uuid, begin_snapshot, schema_name, path, path_is_relative)
                 select 0, $1, snapshot_id, 'main', 'main/', true from first
             )
             insert into lake.ducklake_metadata (key, value)
             select key, value from first, (values
                 ('version', $2), ('created_by', $3), ('data_path', $4), ('encrypted', 'false')
             ) as settings (key, value)",
            &[
                &schema_id,
                &VERSION,
                &concat!("factmill ", env!("CARGO_PKG_VERSION")),
                &data_path,
            ],
        )
        .await
        .map_err(LakeError::catalog("be opened"))?;

    let settings = client
        .query(
            "select key, value from lake.ducklake_metadata where scope is null",
            &[],
        )
        .await
        .map_err(LakeError::catalog("be read"))?;
    for setting in settings {
        let (key, value): (String, String) = (setting.get(0), setting.get(1));
        match key.as_str() {
            "version" if value != VERSION => {
                return Err(LakeError::Unsupported {
                    setting: "version",
                    found: value,
                    supported: VERSION,
                });
            }
            "encrypted" if value != "false" => {
                return Err(LakeError::Unsupported {
                    setting: "encrypted",
                    found: value,
                    supported: "false",
                });
            }
            "data_path" if value.trim_end_matches('/') != data_path.trim_end_matches('/') => {
                return Err(LakeError::Moved {
                    catalog: value,
                    configured: data_path,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The newest snapshot that is committed.
pub(super) async fn snapshot(client: &impl GenericClient) -> Result<i64, LakeError> {
    let newest = client
        .query_one("select max(snapshot_id) from lake.ducklake_snapshot", &[])
        .await;
    newest
        .and_then(|row| row.try_get(0))
        .map_err(LakeError::catalog("tell its newest snapshot"))
}
