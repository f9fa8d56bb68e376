//! `factmill.yml` as it is written. The doc comments here are the hints that editors show.

use std::collections::BTreeMap;
use std::path::PathBuf;

use factmill_project::yaml::Period;
use schemars::JsonSchema;
use serde::Deserialize;

use super::secret::{ConnectionUrl, Secret};

/// Connections of factmill, by profile. `${VAR}` and `${VAR:-default}` are filled in from the
/// environment and from `.env`; `$$` is a `$`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FactmillFile {
    /// Profiles by name; `--profile` or FACTMILL_PROFILE chooses one, `embedded` is the default.
    pub(super) profiles: BTreeMap<String, ProfileFile>,
}

/// Where one profile finds its servers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileFile {
    /// Start every server privately instead of connecting to others.
    pub(super) embedded: Option<EmbeddedFile>,
    /// The brokers that streams come from.
    pub(super) kafka: Option<KafkaFile>,
    /// The MongoDB that raw documents go to.
    pub(super) mongo: Option<MongoFile>,
    /// Where the schemas of Avro and Protobuf values are kept.
    pub(super) schema_registry: Option<SchemaRegistryFile>,
    /// The Postgres that tables land in.
    pub(super) warehouse: Option<WarehouseFile>,
    /// Databases of Postgres whose tables models read, by the names that sources call them by
    /// (`config.meta.factmill.postgres.database`).
    #[serde(default)]
    pub(super) databases: BTreeMap<String, WarehouseFile>,
    /// Where the lake keeps its files.
    pub(super) lake: Option<LakeFile>,
}

/// Private servers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbeddedFile {
    /// The folder that holds their data, relative to the project; `.factmill` by default.
    pub(super) directory: Option<PathBuf>,
}

/// Kafka.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KafkaFile {
    /// `host:port`, several separated by commas.
    pub(super) brokers: String,
    /// Encrypt the connection.
    pub(super) tls: Option<KafkaTls>,
    /// Log in.
    pub(super) sasl: Option<KafkaSasl>,
    /// Further librdkafka settings, such as `socket.timeout.ms: "5000"`.
    #[serde(default)]
    pub(super) properties: BTreeMap<String, String>,
}

/// TLS to Kafka. `tls: {}` trusts the authorities of the system.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KafkaTls {
    /// Certificates (PEM) of the authorities to trust.
    pub(super) ca_file: Option<PathBuf>,
    /// The client's certificate (PEM), where the brokers ask for one.
    pub(super) certificate_file: Option<PathBuf>,
    /// The key (PEM) of the client's certificate.
    pub(super) key_file: Option<PathBuf>,
    /// The password of the key.
    pub(super) key_password: Option<Secret>,
    /// A file that holds the password of the key.
    pub(super) key_password_file: Option<PathBuf>,
    /// Whether the certificate must name the broker's host; true by default.
    pub(super) verify_hostname: Option<bool>,
}

/// How to log in to Kafka.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KafkaSasl {
    /// The mechanism that the brokers offer.
    pub(super) mechanism: SaslMechanism,
    /// The user.
    pub(super) username: String,
    /// The password.
    pub(super) password: Option<Secret>,
    /// A file that holds the password.
    pub(super) password_file: Option<PathBuf>,
}

/// SASL mechanisms.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(super) enum SaslMechanism {
    /// Name and password as they are; use it with TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge, SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge, SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// MongoDB.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MongoFile {
    /// `mongodb://user@host:27017/?replicaSet=rs0`.
    pub(super) url: ConnectionUrl,
    /// The password of the URL's user.
    pub(super) password: Option<Secret>,
    /// A file that holds the password.
    pub(super) password_file: Option<PathBuf>,
    /// Encrypt the connection.
    pub(super) tls: Option<MongoTls>,
}

/// TLS to MongoDB. `tls: {}` trusts the authorities of the system.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MongoTls {
    /// Certificates (PEM) of the authorities to trust.
    pub(super) ca_file: Option<PathBuf>,
    /// The client's certificate with its key (PEM), where the server asks for one.
    pub(super) certificate_key_file: Option<PathBuf>,
}

/// A schema registry that speaks Confluent's HTTP API, as Apicurio's and Karapace do too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaRegistryFile {
    /// `https://host:8081`, with the API's path where it has one: `https://host/apis/ccompat/v7`.
    pub(super) url: ConnectionUrl,
    /// The user, where the registry asks for one.
    pub(super) user: Option<String>,
    /// The user's password.
    pub(super) password: Option<Secret>,
    /// A file that holds the password.
    pub(super) password_file: Option<PathBuf>,
    /// A bearer token instead of user and password.
    pub(super) token: Option<Secret>,
    /// A file that holds the token.
    pub(super) token_file: Option<PathBuf>,
    /// Whom to trust; without it an `https://` URL trusts the authorities of the system.
    pub(super) tls: Option<SchemaRegistryTls>,
}

/// TLS to a schema registry. `tls: {}` trusts the authorities of the system.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaRegistryTls {
    /// Certificates (PEM) of the authorities to trust.
    pub(super) ca_file: Option<PathBuf>,
}

/// Postgres.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WarehouseFile {
    /// `postgres://user@host:5432/database`.
    pub(super) url: ConnectionUrl,
    /// The password of the URL's user.
    pub(super) password: Option<Secret>,
    /// A file that holds the password.
    pub(super) password_file: Option<PathBuf>,
    /// TLS settings; they win over `sslmode` in the URL.
    pub(super) tls: Option<WarehouseTls>,
    /// How long an epoch waits for a lock; 10s by default.
    pub(super) lock_timeout: Option<Period>,
    /// Upper limit of one statement of an epoch; none by default.
    pub(super) statement_timeout: Option<Period>,
    /// How long one attempt to connect may take; 10s by default.
    pub(super) connect_timeout: Option<Period>,
}

/// TLS to Postgres.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WarehouseTls {
    /// What is asked of TLS; `verify-full` by default.
    pub(super) mode: Option<TlsMode>,
    /// Certificates (PEM) of the authorities to trust; those of the system by default.
    pub(super) ca_file: Option<PathBuf>,
}

/// What is asked of TLS, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TlsMode {
    /// Never.
    Disable,
    /// When the server offers it; its certificate is not checked.
    Prefer,
    /// Always; its certificate is checked only where `ca_file` is given.
    Require,
    /// Always, with a certificate of a trusted authority.
    VerifyCa,
    /// Always, with a certificate of a trusted authority for this host.
    VerifyFull,
}

/// The lake.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LakeFile {
    /// A folder, relative to the project, or `s3://bucket/prefix`.
    pub(super) path: String,
    /// How to reach an `s3://` path.
    pub(super) s3: Option<S3File>,
}

/// An S3-compatible store; what is not given comes from the usual AWS_* variables.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct S3File {
    /// The URL of the store, where it is not AWS.
    pub(super) endpoint: Option<String>,
    /// The region.
    pub(super) region: Option<String>,
    /// The access key's id.
    pub(super) access_key_id: Option<String>,
    /// The access key's secret.
    pub(super) secret_access_key: Option<Secret>,
    /// A file that holds the access key's secret.
    pub(super) secret_access_key_file: Option<PathBuf>,
}
