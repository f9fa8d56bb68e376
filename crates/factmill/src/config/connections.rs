//! From what a profile says to what the connectors take: files read, secrets put in their place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_project::yaml::Loaded;

use super::Needs;
use super::file::{
    FactmillFile, KafkaFile, LakeFile, MongoFile, ProfileFile, SaslMechanism, SchemaRegistryFile,
    TlsMode, WarehouseFile,
};
use super::secret::{ConnectionUrl, Secret};

/// Servers that run already; `None` where the command does not use one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections {
    /// Brokers.
    pub(crate) kafka: Option<Kafka>,
    /// MongoDB.
    pub(crate) mongo: Option<Mongo>,
    /// Where the schemas of Avro and Protobuf values are kept.
    pub(crate) schema_registry: Option<SchemaRegistry>,
    /// Postgres.
    pub(crate) warehouse: Option<Warehouse>,
    /// Databases of Postgres whose tables models read, by name.
    pub(crate) databases: BTreeMap<String, Warehouse>,
    /// The lake's files.
    pub(crate) lake: Option<Lake>,
}

/// Brokers.
#[derive(Debug, Clone)]
pub(crate) struct Kafka {
    /// `host:port`, several separated by commas.
    pub(crate) brokers: String,
    /// librdkafka's settings; any value may be secret.
    pub(crate) properties: BTreeMap<String, Secret>,
}

/// MongoDB.
#[derive(Debug, Clone)]
pub(crate) struct Mongo {
    /// Where it is, TLS settings included.
    pub(crate) url: ConnectionUrl,
}

/// A schema registry.
#[derive(Debug, Clone)]
pub(crate) struct SchemaRegistry {
    /// Where it is, without a login.
    pub(crate) url: ConnectionUrl,
    /// How to get in.
    pub(crate) login: Option<RegistryLogin>,
    /// Certificates of the authorities to trust; `None`: those of the system.
    pub(crate) ca_file: Option<PathBuf>,
}

/// What a schema registry asks for.
#[derive(Debug, Clone)]
pub(crate) enum RegistryLogin {
    /// Basic authorization.
    User { name: String, password: Secret },
    /// A bearer token.
    Token(Secret),
}

/// Postgres.
#[derive(Debug, Clone)]
pub(crate) struct Warehouse {
    /// Where it is.
    pub(crate) url: ConnectionUrl,
    /// What is asked of TLS; `None`: what the URL says.
    pub(crate) tls_mode: Option<TlsMode>,
    /// Certificates of the authorities to trust.
    pub(crate) ca_file: Option<PathBuf>,
    /// How long an epoch waits for a lock.
    pub(crate) lock_timeout: Option<Duration>,
    /// Upper limit of one statement of an epoch.
    pub(crate) statement_timeout: Option<Duration>,
    /// How long one attempt to connect may take.
    pub(crate) connect_timeout: Option<Duration>,
}

/// The lake's files.
#[derive(Debug, Clone)]
pub(crate) enum Lake {
    /// A folder, absolute.
    Folder(PathBuf),
    /// An S3-compatible store.
    S3 {
        /// `s3://bucket/prefix`.
        url: String,
        /// `object_store`'s settings by their names, such as `aws_endpoint`.
        settings: BTreeMap<String, Secret>,
    },
}

/// Resolves the connections that are needed.
///
/// # Errors
/// Connections that are missing, secrets given twice, files that cannot be read.
pub(super) fn resolve(
    profile: ProfileFile,
    loaded: &Loaded<FactmillFile>,
    directory: &Path,
    name: &str,
    needs: &Needs,
) -> Result<Connections, Diagnostics> {
    let mut resolver = Resolver {
        loaded,
        directory,
        name,
        found: Vec::new(),
    };
    let databases = resolver.databases(profile.databases, needs);
    let connections = Connections {
        kafka: resolver.needed(needs.kafka, "kafka", profile.kafka, Resolver::kafka),
        mongo: resolver.needed(needs.mongo, "mongo", profile.mongo, Resolver::mongo),
        schema_registry: resolver.needed(
            needs.schema_registry,
            "schema_registry",
            profile.schema_registry,
            Resolver::schema_registry,
        ),
        warehouse: resolver.needed(
            needs.warehouse,
            "warehouse",
            profile.warehouse,
            |resolver, file| resolver.postgres(&["warehouse"], file),
        ),
        databases,
        lake: resolver.needed(needs.lake, "lake", profile.lake, Resolver::lake),
    };
    Diagnostics::finish(resolver.found, connections)
}

/// Resolves the databases that are needed, of a profile whose servers are private ones.
///
/// # Errors
/// As [`resolve`].
pub(super) fn databases(
    files: BTreeMap<String, WarehouseFile>,
    loaded: &Loaded<FactmillFile>,
    directory: &Path,
    name: &str,
    needs: &Needs,
) -> Result<BTreeMap<String, Warehouse>, Diagnostics> {
    let mut resolver = Resolver {
        loaded,
        directory,
        name,
        found: Vec::new(),
    };
    let databases = resolver.databases(files, needs);
    Diagnostics::finish(resolver.found, databases)
}

struct Resolver<'a> {
    loaded: &'a Loaded<FactmillFile>,
    directory: &'a Path,
    name: &'a str,
    found: Vec<Diagnostic>,
}

impl Resolver<'_> {
    fn needed<File, Connection>(
        &mut self,
        needed: bool,
        key: &str,
        file: Option<File>,
        resolve: impl FnOnce(&mut Self, File) -> Connection,
    ) -> Option<Connection> {
        if !needed {
            return None;
        }
        if file.is_none() {
            let place = self.loaded.key_location(&["profiles", self.name]);
            let message = format!(
                "profile `{}` has no `{key}`, which this command uses",
                self.name
            );
            self.found.push(Diagnostic::at(place, message).help(match key {
                "kafka" => "add `kafka: { brokers: \"host:9092\" }`",
                "mongo" => {
                    "add `mongo: { url: \"mongodb://host\" }`, or run without raw documents: --set raw_store.enabled=false"
                }
                "schema_registry" => {
                    "Avro and Protobuf are read by schemas of a registry; add `schema_registry: { url: \"http://host:8081\" }`"
                }
                "warehouse" => "add `warehouse: { url: \"postgres://user@host/database\" }`",
                _ => "add `lake: { path: data/lake }`",
            }));
        }
        file.map(|file| resolve(self, file))
    }

    fn kafka(&mut self, file: KafkaFile) -> Kafka {
        let mut properties: BTreeMap<String, Secret> = file
            .properties
            .into_iter()
            .map(|(name, value)| (name, Secret::new(value)))
            .collect();
        let mut set = |name: &str, value: Option<Secret>| {
            if let Some(value) = value {
                properties.insert(name.to_owned(), value);
            }
        };
        let protocol = match (file.tls.is_some(), file.sasl.is_some()) {
            (false, false) => None,
            (true, false) => Some("ssl"),
            (false, true) => Some("sasl_plaintext"),
            (true, true) => Some("sasl_ssl"),
        };
        set("security.protocol", protocol.map(Secret::new));
        if let Some(tls) = file.tls {
            let path = |path: Option<PathBuf>| {
                path.map(|path| Secret::new(self.directory.join(path).to_string_lossy()))
            };
            set("ssl.ca.location", path(tls.ca_file));
            set("ssl.certificate.location", path(tls.certificate_file));
            set("ssl.key.location", path(tls.key_file));
            let check = if tls.verify_hostname.unwrap_or(true) {
                "https"
            } else {
                "none"
            };
            set(
                "ssl.endpoint.identification.algorithm",
                Some(Secret::new(check)),
            );
            let password = self.secret(
                &["kafka", "tls"],
                "key_password",
                tls.key_password,
                tls.key_password_file,
            );
            set("ssl.key.password", password);
        }
        if let Some(sasl) = file.sasl {
            let mechanism = match sasl.mechanism {
                SaslMechanism::Plain => "PLAIN",
                SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
                SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
            };
            set("sasl.mechanism", Some(Secret::new(mechanism)));
            set("sasl.username", Some(Secret::new(sasl.username)));
            let password = self.secret(
                &["kafka", "sasl"],
                "password",
                sasl.password,
                sasl.password_file,
            );
            if password.is_none() {
                self.wrong(
                    &["kafka", "sasl"],
                    "`sasl` needs a `password` or a `password_file`",
                );
            }
            set("sasl.password", password);
        }
        Kafka {
            brokers: file.brokers,
            properties,
        }
    }

    fn mongo(&mut self, file: MongoFile) -> Mongo {
        let mut url = self.url(&["mongo"], file.url, file.password, file.password_file);
        if let Some(tls) = file.tls {
            let path = |path: PathBuf| self.directory.join(path).to_string_lossy().into_owned();
            let mut parameters = vec![("tls", "true".to_owned())];
            parameters.extend(tls.ca_file.map(|file| ("tlsCAFile", path(file))));
            parameters.extend(
                tls.certificate_key_file
                    .map(|file| ("tlsCertificateKeyFile", path(file))),
            );
            url = url.with_parameters(&parameters);
        }
        Mongo { url }
    }

    fn schema_registry(&mut self, file: SchemaRegistryFile) -> SchemaRegistry {
        const KEY: &str = "schema_registry";
        let url = file.url.expose();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            self.wrong(
                &[KEY, "url"],
                "the URL of a schema registry begins with `https://` or `http://`",
            );
        }
        if file.url.has_login() {
            self.wrong(
                &[KEY, "url"],
                "the URL holds a login; write it as `user` and `password`",
            );
        }
        if file.tls.is_some() && url.starts_with("http://") {
            self.wrong(
                &[KEY, "tls"],
                "`tls` is for a URL that begins with `https://`",
            );
        }
        let password = self.secret(&[KEY], "password", file.password, file.password_file);
        let token = self.secret(&[KEY], "token", file.token, file.token_file);
        let login = match (file.user, password, token) {
            (None, None, None) => None,
            (None, None, Some(token)) => Some(RegistryLogin::Token(token)),
            (Some(name), Some(password), None) => Some(RegistryLogin::User { name, password }),
            (_, _, Some(_)) => {
                self.wrong(
                    &[KEY, "token"],
                    "`token` and `user` are both given; keep one",
                );
                None
            }
            (Some(_), None, None) => {
                self.wrong(
                    &[KEY, "user"],
                    "`user` needs a `password` or a `password_file`",
                );
                None
            }
            (None, Some(_), None) => {
                self.wrong(&[KEY], "the password needs a `user`");
                None
            }
        };
        SchemaRegistry {
            url: file.url,
            login,
            ca_file: file
                .tls
                .and_then(|tls| tls.ca_file)
                .map(|path| self.directory.join(path)),
        }
    }

    fn databases(
        &mut self,
        mut files: BTreeMap<String, WarehouseFile>,
        needs: &Needs,
    ) -> BTreeMap<String, Warehouse> {
        let mut databases = BTreeMap::new();
        for name in &needs.databases {
            match files.remove(name) {
                Some(file) => {
                    let database = self.postgres(&["databases", name], file);
                    databases.insert(name.clone(), database);
                }
                None => {
                    let place = self.loaded.key_location(&["profiles", self.name]);
                    let message = format!(
                        "profile `{}` has no database `{name}`, whose tables models read",
                        self.name
                    );
                    let help = format!(
                        "add `databases: {{ {name}: {{ url: \"postgres://user@host/database\" }} }}`"
                    );
                    self.found.push(Diagnostic::at(place, message).help(help));
                }
            }
        }
        databases
    }

    fn postgres(&mut self, path: &[&str], file: WarehouseFile) -> Warehouse {
        let (tls_mode, ca_file) = match file.tls {
            Some(tls) => (Some(tls.mode.unwrap_or(TlsMode::VerifyFull)), tls.ca_file),
            None => (None, None),
        };
        Warehouse {
            url: self.url(path, file.url, file.password, file.password_file),
            tls_mode,
            ca_file: ca_file.map(|path| self.directory.join(path)),
            lock_timeout: file.lock_timeout.map(|period| period.duration()),
            statement_timeout: file.statement_timeout.map(|period| period.duration()),
            connect_timeout: file.connect_timeout.map(|period| period.duration()),
        }
    }

    fn lake(&mut self, file: LakeFile) -> Lake {
        if !file.path.contains("://") {
            if file.s3.is_some() {
                self.wrong(
                    &["lake", "s3"],
                    "`s3` is for a path that begins with `s3://`",
                );
            }
            return Lake::Folder(self.directory.join(file.path));
        }
        if !file.path.starts_with("s3://") {
            self.wrong(
                &["lake", "path"],
                "the lake is a folder or begins with `s3://`",
            );
        }
        let mut settings = BTreeMap::new();
        if let Some(s3) = file.s3 {
            let secret = self.secret(
                &["lake", "s3"],
                "secret_access_key",
                s3.secret_access_key,
                s3.secret_access_key_file,
            );
            for (name, value) in [
                ("aws_endpoint", s3.endpoint.map(Secret::new)),
                ("aws_region", s3.region.map(Secret::new)),
                ("aws_access_key_id", s3.access_key_id.map(Secret::new)),
                ("aws_secret_access_key", secret),
            ] {
                settings.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
        Lake::S3 {
            url: file.path,
            settings,
        }
    }

    fn url(
        &mut self,
        connection: &[&str],
        url: ConnectionUrl,
        password: Option<Secret>,
        file: Option<PathBuf>,
    ) -> ConnectionUrl {
        match self.secret(connection, "password", password, file) {
            None => url,
            Some(password) => url.with_password(&password).unwrap_or_else(|reason| {
                self.wrong(&[connection, &["url"]].concat(), reason);
                url
            }),
        }
    }

    /// A secret that is given as it is or as a file.
    fn secret(
        &mut self,
        path: &[&str],
        key: &str,
        value: Option<Secret>,
        file: Option<PathBuf>,
    ) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let place: Vec<&str> = path.iter().copied().chain([file_key.as_str()]).collect();
        match (value, file) {
            (Some(_), Some(_)) => {
                self.wrong(
                    &place,
                    &format!("`{key}` and `{file_key}` are both given; keep one"),
                );
                None
            }
            (value, None) => value,
            (None, Some(file)) => {
                let file = self.directory.join(file);
                match Secret::from_file(&file) {
                    Ok(secret) => Some(secret),
                    Err(error) => {
                        self.wrong(&place, &format!("cannot read {}: {error}", file.display()));
                        None
                    }
                }
            }
        }
    }

    fn wrong(&mut self, path: &[&str], message: &str) {
        let path: Vec<&str> = ["profiles", self.name]
            .into_iter()
            .chain(path.iter().copied())
            .collect();
        self.found
            .push(Diagnostic::at(self.loaded.location(&path), message));
    }
}
