//! The settings in the words of the connectors.

use std::collections::BTreeMap;

use factmill_connect::registry::RegistryConfig;
use factmill_connect::sink::lake::{LakeError, LakeLocation};
use factmill_connect::sink::postgres::{
    TlsMode as WarehouseTlsMode, WarehouseConfig, WarehouseTls,
};
use factmill_connect::source::http;
use factmill_connect::source::kafka::KafkaConfig;

use super::connections::{Connections, Kafka, Lake, RegistryLogin, SchemaRegistry, Warehouse};
use super::file::TlsMode;
use super::secret::ConnectionUrl;

impl Connections {
    /// The databases beside the warehouse, for [`factmill_connect::sink::postgres`].
    pub(crate) fn database_configs(&self) -> BTreeMap<String, WarehouseConfig> {
        let databases = self.databases.iter();
        databases
            .map(|(name, settings)| (name.clone(), settings.config()))
            .collect()
    }
}

impl Kafka {
    /// For [`factmill_connect::source::kafka`].
    pub(crate) fn config(&self) -> KafkaConfig {
        let mut config = KafkaConfig::new(&self.brokers);
        let properties = self.properties.iter();
        config.properties = properties
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect();
        config
    }

    /// librdkafka's settings, the brokers among them.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        let brokers = ("bootstrap.servers".to_owned(), self.brokers.clone());
        let others = self
            .properties
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()));
        std::iter::once(brokers).chain(others)
    }

    /// For a plain client of rdkafka.
    pub(crate) fn client(&self) -> rdkafka::ClientConfig {
        let mut client = rdkafka::ClientConfig::new();
        client.extend(self.pairs());
        client
    }
}

impl SchemaRegistry {
    /// For [`factmill_connect::registry`].
    pub(crate) fn config(&self) -> RegistryConfig {
        let mut config = RegistryConfig::new(self.url.expose());
        config.ca_file.clone_from(&self.ca_file);
        match &self.login {
            None => {}
            Some(RegistryLogin::User { name, password }) => {
                config.user = Some((name.clone(), http::Secret::new(password.expose())));
            }
            Some(RegistryLogin::Token(token)) => {
                let header = http::Secret::new(format!("Bearer {}", token.expose()));
                config.headers.push(("Authorization".to_owned(), header));
            }
        }
        config
    }
}

impl Warehouse {
    /// For [`factmill_connect::sink::postgres`].
    pub(crate) fn config(&self) -> WarehouseConfig {
        let mut config = WarehouseConfig::new(self.url.expose());
        config.tls = WarehouseTls {
            mode: self.tls_mode.map(|mode| match mode {
                TlsMode::Disable => WarehouseTlsMode::Disable,
                TlsMode::Prefer => WarehouseTlsMode::Prefer,
                TlsMode::Require => WarehouseTlsMode::Require,
                TlsMode::VerifyCa => WarehouseTlsMode::VerifyCa,
                TlsMode::VerifyFull => WarehouseTlsMode::VerifyFull,
            }),
            ca_file: self.ca_file.clone(),
        };
        config.lock_timeout = self.lock_timeout.unwrap_or(config.lock_timeout);
        config.statement_timeout = self.statement_timeout;
        config.connect_timeout = self.connect_timeout.unwrap_or(config.connect_timeout);
        config
    }
}

impl Warehouse {
    /// The URL with the settings of TLS in it, for the reader of the lake.
    pub(crate) fn url_with_tls(&self) -> ConnectionUrl {
        let mode = self.tls_mode.map(|mode| match mode {
            TlsMode::Disable => "disable",
            TlsMode::Prefer => "prefer",
            TlsMode::Require => "require",
            TlsMode::VerifyCa => "verify-ca",
            TlsMode::VerifyFull => "verify-full",
        });
        let mode = mode.map(|mode| ("sslmode", mode.to_owned()));
        let file = self.ca_file.as_ref();
        let file = file.map(|file| ("sslrootcert", file.to_string_lossy().into_owned()));
        let parameters: Vec<_> = mode.into_iter().chain(file).collect();
        self.url.with_parameters(&parameters)
    }
}

impl Lake {
    /// For [`factmill_connect::sink::lake`].
    ///
    /// # Errors
    /// [`LakeError`] when the place is none.
    pub(crate) fn location(&self) -> Result<LakeLocation, LakeError> {
        match self {
            Self::Folder(folder) => {
                LakeLocation::parse(&folder.to_string_lossy(), &Default::default())
            }
            Self::S3 { url, settings } => {
                let settings = settings
                    .iter()
                    .map(|(name, value)| (name.clone(), value.expose().to_owned()));
                LakeLocation::parse(url, &settings.collect())
            }
        }
    }
}
