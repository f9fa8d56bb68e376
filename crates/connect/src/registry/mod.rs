//! A schema registry by Confluent's HTTP API, which Apicurio and Karapace speak too: what the ids in
//! front of Avro and Protobuf payloads mean.
//!
//! Only reads: `GET /schemas/ids/<id>`, and `GET /subjects/<subject>/versions/<version>` for what a
//! schema refers to. A schema never changes under its id, so each is asked for once.

mod error;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_recursion::async_recursion as boxed;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

pub use error::RegistryError;

use crate::source::http::{Request, Retry, Secret, Times, client::Client};

/// The largest answer of a registry.
const MOST_BYTES: usize = 16 << 20;

/// How many schemas one schema may lead to.
const MOST_REFERENCES: usize = 1000;

/// Where the registry is and how to get in.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// `http://` or `https://`, with the path of the API where it has one, such as
    /// `https://host/apis/ccompat/v7`.
    pub url: String,
    /// User and password, sent as basic authorization to the registry's own host only.
    pub user: Option<(String, Secret)>,
    /// More headers, such as a bearer token; values are never shown.
    pub headers: Vec<(String, Secret)>,
    /// Certificates of the authorities to trust, PEM; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long to wait.
    pub times: Times,
    /// When to try again.
    pub retry: Retry,
}

impl RegistryConfig {
    /// The registry at `url`, open to all.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            user: None,
            headers: Vec::new(),
            ca_file: None,
            times: Times::default(),
            retry: Retry::default(),
        }
    }
}

/// What a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchemaKind {
    /// Avro, what a registry means when it says nothing.
    #[default]
    Avro,
    /// Protobuf, as the text of a `.proto` file.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl fmt::Display for SchemaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avro => "Avro",
            Self::Protobuf => "Protobuf",
            Self::Json => "JSON Schema",
        })
    }
}

/// A schema and all that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// What it is written in.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// Name and text of the schemas it refers to, directly or through others; each stands behind
    /// those it refers to itself.
    pub references: Vec<(String, String)>,
}

/// A registry, and the schemas that it was asked for. Shared by the decoders of a job.
pub struct Registry {
    client: Client,
    schemas: Mutex<HashMap<u32, Arc<RegisteredSchema>>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("place", &self.client.place())
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    schema: String,
    #[serde(default, rename = "schemaType")]
    kind: Option<SchemaKind>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i64,
}

impl Registry {
    /// The registry that `config` names; asks nothing yet.
    ///
    /// # Errors
    /// A URL, header or certificate file that cannot work.
    pub fn new(config: &RegistryConfig) -> Result<Self, RegistryError> {
        let mut request = Request::get(config.url.trim_end_matches('/'));
        request.ca_file.clone_from(&config.ca_file);
        request.times = config.times;
        request.retry = config.retry;
        request.headers.clone_from(&config.headers);
        if let Some((user, password)) = &config.user {
            let encoded = STANDARD.encode(format!("{user}:{}", password.expose()));
            let header = Secret::new(format!("Basic {encoded}"));
            request.headers.push(("Authorization".to_owned(), header));
        }
        Ok(Self {
            client: Client::new(&request, false)?,
            schemas: Mutex::default(),
        })
    }

    /// The schema of an id, asked for when it is not known; `None` where the registry has none.
    ///
    /// # Errors
    /// The registry does not answer, refuses, or answers something else.
    #[boxed]
    pub async fn schema(&self, id: u32) -> Result<Option<Arc<RegisteredSchema>>, RegistryError> {
        if let Some(known) = self.known(id) {
            return Ok(Some(known));
        }
        let id_text = id.to_string();
        let Some(answer) = self.ask(&["schemas", "ids", &id_text]).await? else {
            return Ok(None);
        };
        let schema = Arc::new(RegisteredSchema {
            kind: answer.kind.unwrap_or_default(),
            references: self.references(&answer.references).await?,
            text: answer.schema,
        });
        self.lock().insert(id, Arc::clone(&schema));
        Ok(Some(schema))
    }

    fn known(&self, id: u32) -> Option<Arc<RegisteredSchema>> {
        self.lock().get(&id).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<RegisteredSchema>>> {
        // a map is never left half changed
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `wanted` leads to, each behind what it refers to itself.
    async fn references(
        &self,
        wanted: &[Reference],
    ) -> Result<Vec<(String, String)>, RegistryError> {
        enum Step {
            Ask(String, String, i64),
            Add(String, String),
        }
        let steps = |references: &[Reference]| {
            let asked = references.iter().rev().map(|reference| {
                Step::Ask(
                    reference.name.clone(),
                    reference.subject.clone(),
                    reference.version,
                )
            });
            asked.collect::<Vec<_>>()
        };
        let mut found: Vec<(String, String)> = Vec::new();
        let mut met = std::collections::HashSet::new();
        let mut open = steps(wanted);
        while let Some(step) = open.pop() {
            let (name, subject, version) = match step {
                Step::Add(name, text) => {
                    found.push((name, text));
                    continue;
                }
                Step::Ask(name, subject, version) => (name, subject, version),
            };
            if !met.insert(name.clone()) {
                continue;
            }
            if met.len() > MOST_REFERENCES {
                return Err(RegistryError::TooManyReferences);
            }
            let version = version.to_string();
            let path = ["subjects", &subject, "versions", &version];
            let Some(answer) = self.ask(&path).await? else {
                return Err(RegistryError::NoReference {
                    subject,
                    version,
                    name,
                });
            };
            open.push(Step::Add(name, answer.schema));
            open.extend(steps(&answer.references));
        }
        Ok(found)
    }

    async fn ask(&self, path: &[&str]) -> Result<Option<Answer>, RegistryError> {
        let mut url = self.client.url(None, None)?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let Some(body) = self.client.fetch(url, MOST_BYTES).await? else {
            return Ok(None);
        };
        match serde_json::from_slice(&body) {
            Ok(answer) => Ok(Some(answer)),
            Err(source) => Err(RegistryError::Answer {
                place: self.client.place().to_owned(),
                path: path.join("/"),
                source,
            }),
        }
    }
}

/// Id and message of a payload in the registry's wire format: a zero byte, the id in four bytes,
/// big-endian, the message.
pub(crate) fn framed(payload: &[u8]) -> Option<(u32, &[u8])> {
    let (&0, rest) = payload.split_first()? else {
        return None;
    };
    let (id, message) = rest.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*id), message))
}
