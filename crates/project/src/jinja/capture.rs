//! What one rendering says besides its text: references, configuration, and what went wrong.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factmill_core::diagnostic::Diagnostic;
use factmill_core::position::SourceName;
use minijinja::{Error, ErrorKind, Value};

/// What a template named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// `ref()` of a model or a seed.
    Ref(String),
    /// `source()`.
    Source(SourceName),
}

/// What a rendering said besides its text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Captured {
    /// References, each once, in the order of first use.
    pub(crate) references: Vec<Reference>,
    /// The arguments of `config()`, later calls behind earlier ones.
    pub(crate) config: Vec<(String, serde_json::Value)>,
    /// Whether the template printed `this` or looked into it.
    pub(crate) uses_this: bool,
}

/// Shared by the functions of one rendering.
///
/// An error ends a rendering, and its place is known only then. So a function that refuses its
/// arguments leaves a [`Diagnostic`] here and fails; the template is rendered again with that one
/// mistake tolerated, until nothing new is found. That is how all of a model's mistakes come out.
#[derive(Debug, Clone, Default)]
pub(super) struct Capture {
    state: Arc<Mutex<State>>,
    this: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct State {
    captured: Captured,
    pending: Option<(String, Diagnostic)>,
    tolerated: BTreeSet<String>,
}

impl Capture {
    fn state(&self) -> MutexGuard<'_, State> {
        // a panic in a template function leaves nothing half-written here
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was captured, for the next rendering; what is tolerated stays.
    pub(super) fn restart(&self) {
        let mut state = self.state();
        state.captured = Captured::default();
        state.pending = None;
        self.this.store(false, Ordering::Relaxed);
    }

    pub(super) fn reference(&self, reference: Reference) {
        let references = &mut self.state().captured.references;
        if !references.contains(&reference) {
            references.push(reference);
        }
    }

    pub(super) fn config(&self, key: String, value: serde_json::Value) {
        self.state().captured.config.push((key, value));
    }

    /// The value that `config()` set last.
    pub(super) fn configured(&self, key: &str) -> Option<serde_json::Value> {
        let state = self.state();
        let last = state
            .captured
            .config
            .iter()
            .rev()
            .find(|(known, _)| known == key);
        last.map(|(_, value)| value.clone())
    }

    /// The flag that `this` sets when it is used.
    pub(super) fn this_flag(&self) -> Arc<AtomicBool> {
        self.this.clone()
    }

    /// Refuses a call: fails the first time that `mistake` is made, and goes on with `instead` once
    /// it has been reported.
    pub(super) fn refuse(
        &self,
        mistake: String,
        diagnostic: Diagnostic,
        instead: Value,
    ) -> Result<Value, Error> {
        let mut state = self.state();
        if state.tolerated.contains(&mistake) {
            return Ok(instead);
        }
        let message = diagnostic.message.clone();
        state.pending = Some((mistake, diagnostic));
        Err(Error::new(ErrorKind::InvalidOperation, message))
    }

    /// The diagnostic of the call that ended the rendering, from now on tolerated.
    pub(super) fn take_refusal(&self) -> Option<Diagnostic> {
        let mut state = self.state();
        let (mistake, diagnostic) = state.pending.take()?;
        state.tolerated.insert(mistake);
        Some(diagnostic)
    }

    pub(super) fn finish(&self) -> Captured {
        let mut captured = self.state().captured.clone();
        captured.uses_this = self.this.load(Ordering::Relaxed);
        captured
    }
}
