//! Payloads behind a schema id: which schemas a pull needs, compiled once each.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use factmill_core::dead_letter::Reason;
use factmill_core::records::Pulled;
use factmill_core::source::{BoxedError, boxed};

use super::contract::whole_record;
use super::fault::Rejection;
use crate::registry::{RegisteredSchema, Registry, framed};

/// How long an id that the registry does not have is not asked for again.
const ABSENT: Duration = Duration::from_secs(30);

/// Compiled schemas by id.
pub(super) struct Schemas<T> {
    registry: Arc<Registry>,
    compile: fn(&RegisteredSchema) -> Result<T, String>,
    known: RwLock<HashMap<u32, Known<T>>>,
}

enum Known<T> {
    Here(Arc<T>),
    /// It cannot be used, and why.
    Unusable(String),
    Absent(Instant),
}

impl<T> Schemas<T> {
    pub(super) fn new(
        registry: Arc<Registry>,
        compile: fn(&RegisteredSchema) -> Result<T, String>,
    ) -> Self {
        Self {
            registry,
            compile,
            known: RwLock::default(),
        }
    }

    /// Asks for the schemas of these records that are not known yet.
    pub(super) async fn prepare(&self, pulled: &Pulled) -> Result<(), BoxedError> {
        for id in self.unknown(pulled) {
            let schema = self.registry.schema(id).await.map_err(boxed)?;
            let known = match schema {
                None => Known::Absent(Instant::now()),
                Some(schema) => match (self.compile)(&schema) {
                    Ok(compiled) => {
                        tracing::info!(
                            topic = pulled.topic,
                            id,
                            "records are written by this schema"
                        );
                        Known::Here(Arc::new(compiled))
                    }
                    Err(why) => Known::Unusable(why),
                },
            };
            let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
            all.insert(id, known);
        }
        Ok(())
    }

    fn unknown(&self, pulled: &Pulled) -> Vec<u32> {
        let records = &pulled.records;
        // a record that deletes is read from its key
        let parts = [&records.payloads, &records.keys].into_iter();
        let parts = parts.flat_map(|part| (0..part.len()).filter_map(|index| part.get(index)));
        let ids = parts.filter_map(|bytes| Some(framed(bytes)?.0));
        let ids: HashSet<u32> = ids.collect();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let is_unknown = |id: &u32| match known.get(id) {
            None => true,
            Some(Known::Absent(since)) => since.elapsed() > ABSENT,
            Some(_) => false,
        };
        let mut ids: Vec<_> = ids.into_iter().filter(is_unknown).collect();
        ids.sort_unstable();
        ids
    }

    /// The schema that a payload was written by, and its message.
    ///
    /// # Panics
    /// When [`Schemas::prepare`] was not called with its pull.
    pub(super) fn of<'p>(&self, payload: &'p [u8]) -> Result<(Arc<T>, &'p [u8]), Rejection> {
        let malformed = |detail: String| Err(whole_record(Reason::Malformed, detail));
        let Some((id, message)) = framed(payload) else {
            return malformed(
                "expected a zero byte and a schema id of four bytes in front of the message".into(),
            );
        };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let schema = known
            .get(&id)
            .expect("`prepare` was awaited for the pull, so each of its ids was asked for");
        match schema {
            Known::Here(schema) => Ok((Arc::clone(schema), message)),
            Known::Unusable(why) => malformed(format!("schema {id} cannot be used: {why}")),
            Known::Absent(_) => malformed(format!("the registry has no schema {id}")),
        }
    }
}
