//! The keys of a map in one of dbt's files, taken one by one.

use std::cell::RefCell;

use factmill_core::diagnostic::{Diagnostic, Location};

use super::node::{Content, Node};
use super::scalar::Plain;
use crate::nearest;

/// What was found while reading: errors stop the load, warnings are shown.
#[derive(Debug, Default)]
pub struct Found {
    /// What is wrong.
    pub errors: Vec<Diagnostic>,
    /// What is odd.
    pub warnings: Vec<Diagnostic>,
}

impl Found {
    /// Adds an error at a place.
    pub fn error(&mut self, at: &Location, message: impl Into<String>) {
        self.errors.push(Diagnostic::at(at.clone(), message));
    }

    /// Adds an error at a place, with the next step.
    pub fn error_with_help(
        &mut self,
        at: &Location,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.errors
            .push(Diagnostic::at(at.clone(), message).help(help));
    }
}

/// A map that is being read.
#[derive(Debug)]
pub struct Fields<'n> {
    node: &'n Node,
    what: &'static str,
    taken: RefCell<Vec<&'static str>>,
}

impl<'n> Fields<'n> {
    /// Begins to read a map; `what` is what it describes, for messages: `a model`.
    ///
    /// Anything but a map is an error, and `None`.
    pub fn of(node: &'n Node, what: &'static str, found: &mut Found) -> Option<Self> {
        if !matches!(node.content, Content::Map(_)) {
            found.error(
                &node.location,
                format!("expected {what} as a map, found {}", node.describe()),
            );
            return None;
        }
        Some(Self {
            node,
            what,
            taken: RefCell::default(),
        })
    }

    /// Where the map begins.
    pub fn location(&self) -> &'n Location {
        &self.node.location
    }

    /// The value of a key; `None` where it is missing or null.
    pub fn get(&self, key: &'static str) -> Option<&'n Node> {
        self.taken.borrow_mut().push(key);
        self.node.get(key).filter(|value| !value.is_null())
    }

    /// Text; a number or a boolean is taken as it is written, as dbt's users write versions.
    pub fn text(&self, key: &'static str, found: &mut Found) -> Option<String> {
        let node = self.get(key)?;
        let text = node.text().map(str::to_owned);
        if text.is_none() {
            self.misfit(key, "text", node, found);
        }
        text
    }

    /// Text that has to be there and not be empty.
    pub fn required_text(&self, key: &'static str, found: &mut Found) -> Option<String> {
        let text = self.text(key, found);
        if text.as_deref().is_none_or(str::is_empty)
            && self
                .node
                .get(key)
                .is_none_or(|node| node.text().is_some() || node.is_null())
        {
            found.error(
                self.location(),
                format!("missing key `{key}` in {}", self.what),
            );
            return None;
        }
        text
    }

    /// True or false.
    pub fn boolean(&self, key: &'static str, found: &mut Found) -> Option<bool> {
        let node = self.get(key)?;
        match &node.content {
            Content::Scalar(scalar) if let Plain::Boolean(value) = scalar.plain_value() => {
                Some(value)
            }
            _ => {
                self.misfit(key, "true or false", node, found);
                None
            }
        }
    }

    /// The items of a list; none where the key is missing.
    pub fn list(&self, key: &'static str, found: &mut Found) -> &'n [Node] {
        match self.get(key) {
            Some(Node {
                content: Content::List(items),
                ..
            }) => items,
            Some(node) => {
                self.misfit(key, "a list", node, found);
                &[]
            }
            None => &[],
        }
    }

    /// One text or a list of them.
    pub fn texts(&self, key: &'static str, found: &mut Found) -> Vec<String> {
        self.get(key)
            .map(|node| texts(node, key, found))
            .unwrap_or_default()
    }

    fn misfit(&self, key: &str, expected: &str, node: &Node, found: &mut Found) {
        let message = format!("expected {expected} for `{key}`, found {}", node.describe());
        found.error(&node.location, message);
    }

    /// Ends the reading: `others` are keys that may stand here and are not read. A key that nobody
    /// knows is an error where a known one is near, else a warning, for dbt has more keys each year.
    pub fn finish(self, others: &[&'static str], found: &mut Found) {
        let taken = self.taken.into_inner();
        let known = || taken.iter().chain(others).copied();
        for entry in self.node.entries() {
            if known().any(|key| key == entry.key) {
                continue;
            }
            let diagnostic = Diagnostic::at(
                entry.key_location.clone(),
                format!("unknown key `{}` in {}", entry.key, self.what),
            );
            match nearest::nearest(&entry.key, known()) {
                Some(near) => found
                    .errors
                    .push(diagnostic.help(format!("did you mean `{near}`?"))),
                None => found
                    .warnings
                    .push(diagnostic.help("it is ignored; what is yours goes under `config.meta`")),
            }
        }
    }
}

/// One text or a list of them.
pub(crate) fn texts(node: &Node, key: &str, found: &mut Found) -> Vec<String> {
    let items = match &node.content {
        Content::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut texts = Vec::new();
    for item in items {
        match item.text() {
            Some(text) => texts.push(text.to_owned()),
            None => found.error(
                &item.location,
                format!("expected text for `{key}`, found {}", item.describe()),
            ),
        }
    }
    texts
}
