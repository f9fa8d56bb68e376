//! Where the lake's files are: a local folder or an S3 bucket.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};

use super::error::LakeError;

/// Where the lake's Parquet files are.
#[derive(Clone)]
pub struct LakeLocation(Place);

#[derive(Clone)]
enum Place {
    /// An absolute folder.
    Folder(PathBuf),
    /// A bucket and a prefix in it.
    Bucket {
        url: String,
        prefix: ObjectPath,
        store: Arc<dyn ObjectStore>,
    },
}

impl LakeLocation {
    /// A local folder (relative ones are taken from the working directory) or `s3://bucket/path`.
    ///
    /// Credentials, region and endpoint of a bucket come from the environment (`AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …) and from `options`, which win and
    /// have the same names in lower case. An `http://` endpoint is allowed when it is named.
    ///
    /// # Errors
    /// [`LakeError::Location`] when it is neither, or an option is unknown.
    pub fn parse(location: &str, options: &BTreeMap<String, String>) -> Result<Self, LakeError> {
        let refused = |why: String| LakeError::Location {
            location: location.to_owned(),
            why,
        };
        if !location.contains("://") {
            if location.is_empty() {
                return Err(refused("it is empty".into()));
            }
            let folder =
                std::path::absolute(location).map_err(|error| refused(error.to_string()))?;
            if folder.to_str().is_none() {
                return Err(refused("it is not UTF-8".into()));
            }
            return Ok(Self(Place::Folder(folder)));
        }
        let Some((bucket, prefix)) = location
            .strip_prefix("s3://")
            .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
        else {
            return Err(refused("only s3:// is known".into()));
        };
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        for (name, value) in options {
            let key = name
                .parse()
                .map_err(|_| refused(format!("`{name}` is no option of a bucket")))?;
            builder = builder.with_config(key, value);
        }
        let endpoint = builder.get_config_value(&object_store::aws::AmazonS3ConfigKey::Endpoint);
        let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let store = builder
            .with_allow_http(plain)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self(Place::Bucket {
            url: format!("s3://{bucket}/{}", prefix.trim_matches('/')),
            prefix: ObjectPath::parse(prefix.trim_matches('/'))
                .map_err(|error| refused(error.to_string()))?,
            store: Arc::new(store),
        }))
    }

    /// The location as `data_path` of the catalog: with a slash at its end.
    pub fn data_path(&self) -> String {
        let mut path = match &self.0 {
            Place::Folder(folder) => folder.to_string_lossy().into_owned(),
            Place::Bucket { url, .. } => url.clone(),
        };
        if !path.ends_with('/') {
            path.push('/');
        }
        path
    }

    /// The bucket's store, to be registered with a query engine under the bucket's URL; `None` for a
    /// folder.
    pub fn object_store(&self) -> Option<Arc<dyn ObjectStore>> {
        match &self.0 {
            Place::Folder(_) => None,
            Place::Bucket { store, .. } => Some(store.clone()),
        }
    }

    /// Makes sure that a folder below the location is there and on stable storage, with all above it.
    /// A bucket has no folders.
    pub(super) async fn prepare(&self, path: &str) -> Result<(), LakeError> {
        let Place::Folder(root) = &self.0 else {
            return Ok(());
        };
        let folder = root.join(path);
        tokio::task::spawn_blocking(move || {
            create_durably(&folder).map_err(|source| LakeError::File {
                path: folder,
                source,
            })
        })
        .await
        .map_err(LakeError::Stopped)?
    }

    /// Whether a file is there at `path` below the location.
    pub(super) async fn has(&self, path: &str) -> Result<bool, LakeError> {
        match &self.0 {
            Place::Folder(root) => {
                let file = root.join(path);
                let looked = tokio::fs::try_exists(&file).await;
                looked.map_err(|source| LakeError::File { path: file, source })
            }
            Place::Bucket { store, .. } => {
                let at = self.object(path);
                match store.head(&at).await {
                    Ok(_) => Ok(true),
                    Err(object_store::Error::NotFound { .. }) => Ok(false),
                    Err(source) => Err(LakeError::Object {
                        path: at.to_string(),
                        source,
                    }),
                }
            }
        }
    }

    /// Where an object lies in the bucket.
    fn object(&self, path: &str) -> ObjectPath {
        let below = ObjectPath::from(path);
        match &self.0 {
            Place::Folder(_) => below,
            Place::Bucket { prefix, .. } => prefix.parts().chain(below.parts()).collect(),
        }
    }

    /// Writes a new file at `path` below the location, which ends with a name never used before. When
    /// this returns, the file and the folders that name it are on stable storage.
    pub(super) async fn write_new(&self, path: String, content: Vec<u8>) -> Result<(), LakeError> {
        match &self.0 {
            Place::Folder(root) => {
                let root = root.clone();
                tokio::task::spawn_blocking(move || write_durably(&root, &path, &content))
                    .await
                    .map_err(LakeError::Stopped)?
            }
            Place::Bucket { store, .. } => {
                let at = self.object(&path);
                let create = PutOptions {
                    mode: PutMode::Create,
                    ..PutOptions::default()
                };
                let put = store
                    .put_opts(&at, Bytes::from(content).into(), create)
                    .await;
                put.map(drop).map_err(|source| LakeError::Object {
                    path: at.to_string(),
                    source,
                })
            }
        }
    }
}

impl fmt::Debug for LakeLocation {
    /// Without the credentials that a store holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LakeLocation")
            .field(&self.data_path())
            .finish()
    }
}

fn write_durably(root: &Path, path: &str, content: &[u8]) -> Result<(), LakeError> {
    let file = root.join(path);
    let folder = file.parent().unwrap_or(root);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LakeError::File { path, source }
    };
    if !folder.is_dir() {
        create_durably(folder).map_err(failed(folder))?;
    }
    let write = || -> io::Result<()> {
        let mut new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&file)?;
        new.write_all(content)?;
        new.sync_all()?;
        File::open(folder)?.sync_all()
    };
    write().map_err(failed(&file))
}

/// Creates a folder and those above it that are missing, and flushes all of them, as one that is there
/// may have been made a moment ago by another writer.
fn create_durably(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for above in folder.ancestors().skip(1) {
        match File::open(above) {
            Ok(above) => above.sync_all()?,
            // a folder that is not ours to read was not made by us
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use object_store::ObjectStoreExt;

    use super::*;

    #[test]
    fn a_location_is_a_folder_or_a_bucket() {
        let parse = |text| LakeLocation::parse(text, &BTreeMap::new());
        assert_eq!(parse("/srv/lake").unwrap().data_path(), "/srv/lake/");
        assert!(parse("lake").unwrap().data_path().starts_with('/'));
        assert_eq!(
            parse("s3://bucket/some/where/").unwrap().data_path(),
            "s3://bucket/some/where/"
        );
        assert_eq!(parse("s3://bucket").unwrap().data_path(), "s3://bucket/");
        assert!(
            parse("gs://bucket")
                .unwrap_err()
                .to_string()
                .contains("only s3:// is known")
        );
        let unknown = [("colour".to_owned(), "red".to_owned())].into();
        let error = LakeLocation::parse("s3://bucket", &unknown).unwrap_err();
        assert!(
            error.to_string().contains("`colour` is no option"),
            "{error}"
        );
    }

    #[test]
    fn a_secret_is_not_printed() {
        let options = [
            ("aws_access_key_id", "someone"),
            ("aws_secret_access_key", "geheim"),
        ];
        let options = options
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let location = LakeLocation::parse("s3://bucket", &options).unwrap();
        assert!(!format!("{location:?}").contains("geheim"));
    }

    #[tokio::test]
    async fn a_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("deep/lake");
        let location = LakeLocation::parse(lake.to_str().unwrap(), &BTreeMap::new()).unwrap();
        location
            .write_new("a/b/x.parquet".into(), b"first".to_vec())
            .await
            .unwrap();
        let again = location
            .write_new("a/b/x.parquet".into(), b"second".to_vec())
            .await;
        assert!(matches!(again, Err(LakeError::File { .. })));
        assert_eq!(fs::read(lake.join("a/b/x.parquet")).unwrap(), b"first");
    }

    #[tokio::test]
    async fn an_object_is_never_overwritten() {
        let store: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        let prefix = ObjectPath::parse("some/where").unwrap();
        let location = LakeLocation(Place::Bucket {
            url: "s3://bucket/some/where".into(),
            prefix,
            store: store.clone(),
        });
        location
            .write_new("a/x.parquet".into(), b"first".to_vec())
            .await
            .unwrap();
        let again = location
            .write_new("a/x.parquet".into(), b"second".to_vec())
            .await;
        assert!(matches!(again, Err(LakeError::Object { .. })));
        let found = store
            .get(&ObjectPath::parse("some/where/a/x.parquet").unwrap())
            .await
            .unwrap();
        assert_eq!(found.bytes().await.unwrap().as_ref(), b"first");
    }
}
