//! Whether the lake's files can be written, read and removed.

use std::path::Path;

use factmill_connect::sink::lake::LakeLocation;

use super::report::Report;
use crate::config::Lake;
use crate::failure::chain;

/// A file's name that no lake table has.
const PROBE: &str = ".factmill-doctor";

/// Checks the place of the lake.
pub(super) async fn examine(lake: &Lake) -> Report {
    let mut report = Report::of("lake");
    match lake {
        Lake::Folder(folder) => match probe(folder) {
            Ok(()) => report.ok("folder", format!("{} can be written", folder.display())),
            Err(error) => report.failed(
                "folder",
                format!("{}: {error}", folder.display()),
                "give this user the right to write it, or name another `lake.path` in the profile",
            ),
        },
        Lake::S3 { url, .. } => match lake.location() {
            Ok(location) => bucket(url, &location, &mut report).await,
            Err(error) => report.failed("bucket", chain(&error), "correct `lake` of the profile"),
        },
    }
    report
}

/// Writes a file as the lake does, flushed with its folder, and removes it.
fn probe(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{PROBE}-{}", uuid::Uuid::new_v4()));
    std::fs::write(&path, b"factmill")?;
    let flushed = std::fs::File::open(&path)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::File::open(folder)?.sync_all());
    std::fs::remove_file(&path)?;
    flushed
}

async fn bucket(url: &str, location: &LakeLocation, report: &mut Report) {
    let Some(store) = location.object_store() else {
        report.failed(
            "bucket",
            format!("{url} is no bucket"),
            "correct `lake.path` of the profile",
        );
        return;
    };
    let prefix = url
        .trim_start_matches("s3://")
        .split_once('/')
        .map_or("", |(_, prefix)| prefix);
    let path = object_store::path::Path::from(format!("{prefix}/{PROBE}-{}", uuid::Uuid::new_v4()));
    let probed = async {
        use object_store::ObjectStoreExt;
        store.put(&path, "factmill".into()).await?;
        store.delete(&path).await
    };
    match probed.await {
        Ok(()) => report.ok("bucket", format!("{url} can be written")),
        Err(error @ object_store::Error::Generic { .. }) => report.unreachable(
            "bucket",
            chain(&error),
            "check `lake.s3.endpoint` of the profile and that the store answers",
        ),
        Err(error) => report.failed(
            "bucket",
            chain(&error),
            "check that the bucket exists and that the key may put and delete objects in it",
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::commands::doctor::report::Outcome;

    #[tokio::test]
    async fn a_folder_is_written_and_left_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("lake");
        let checks = examine(&Lake::Folder(folder.clone())).await.into_checks();
        assert_eq!(checks[0].outcome, Outcome::Ok);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_file_in_the_way_fails() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let checks = examine(&Lake::Folder(file.path().join("lake")))
            .await
            .into_checks();
        assert_eq!(checks[0].outcome, Outcome::Failed);
        assert!(checks[0].mend.is_some());
    }
}
