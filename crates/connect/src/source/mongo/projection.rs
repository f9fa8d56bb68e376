//! Projections: the same fields whether `find` sends a document or an event brings it.

use mongodb::bson::{Bson, Document, doc};

/// The declared projection with what a record's key is made of, the `_id`; none where it leaves
/// nothing out.
pub(super) fn with_id(mut declared: Document) -> Option<Document> {
    let id = declared.remove("_id");
    if !declared.is_empty() {
        return Some(declared);
    }
    match id {
        // nothing else is wanted
        Some(id) if is_left_out(&id) == Some(false) => Some(doc! { "_id": 1 }),
        _ => None,
    }
}

/// Fields that are kept alone or left out, by their paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    paths: Vec<String>,
    kept: bool,
}

impl Fields {
    /// Reads a projection that only keeps or only leaves out: whatever is computed of a document
    /// would be computed of the event that it comes in.
    ///
    /// # Errors
    /// What in it is something else.
    pub(super) fn of(projection: &Document) -> Result<Self, String> {
        let mut found = Vec::new();
        flatten(projection, "", &mut found)?;
        let kept = found.first().is_some_and(|(_, left_out)| !left_out);
        if let Some((path, _)) = found.iter().find(|(_, left_out)| *left_out == kept) {
            let (this, others) = if kept {
                ("leaves out", "keeps")
            } else {
                ("keeps", "leaves out")
            };
            return Err(format!("it {this} `{path}` and {others} other fields"));
        }
        let paths = found.into_iter().map(|(path, _)| path).collect();
        Ok(Self { paths, kept })
    }

    /// As `find` takes it.
    pub(super) fn of_document(&self) -> Document {
        self.project("")
    }

    /// As a stage over events with the document as `fullDocument`.
    pub(super) fn of_event(&self) -> Document {
        let mut fields = self.project("fullDocument.");
        if self.kept {
            let of_events = [
                "operationType",
                "documentKey",
                "clusterTime",
                "fullDocument._id",
            ];
            fields.extend(of_events.map(|name| (name.to_owned(), Bson::from(1))));
        }
        doc! { "$project": fields }
    }

    fn project(&self, before: &str) -> Document {
        let kept = Bson::from(i32::from(self.kept));
        let fields = self.paths.iter();
        fields
            .map(|path| (format!("{before}{path}"), kept.clone()))
            .collect()
    }
}

/// Adds the paths of a projection, each with whether it is left out.
fn flatten(
    projection: &Document,
    before: &str,
    found: &mut Vec<(String, bool)>,
) -> Result<(), String> {
    for (name, value) in projection {
        let path = format!("{before}{name}");
        let is_name = |part: &str| !part.is_empty() && !part.starts_with('$');
        if !path.split('.').all(is_name) {
            return Err(format!("`{path}` computes, or names no field"));
        }
        if path.starts_with("_id.") {
            return Err(format!(
                "`{path}` is a part of the `_id`, which comes whole"
            ));
        }
        match (value, is_left_out(value)) {
            (_, Some(left_out)) => found.push((path, left_out)),
            (Bson::Document(inner), None) if !inner.is_empty() => {
                flatten(inner, &format!("{path}."), found)?;
            }
            _ => return Err(format!("`{path}` is {value}, not 1 or 0")),
        }
    }
    Ok(())
}

/// Whether a projection leaves a field out; none where it computes one.
fn is_left_out(value: &Bson) -> Option<bool> {
    match value {
        Bson::Boolean(kept) => Some(!kept),
        Bson::Int32(number) => Some(*number == 0),
        Bson::Int64(number) => Some(*number == 0),
        Bson::Double(number) => Some(*number == 0.0),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn the_id_always_comes_and_a_projection_of_it_alone_is_none() {
        assert_eq!(with_id(doc! { "_id": 0 }), None);
        assert_eq!(with_id(doc! {}), None);
        assert_eq!(with_id(doc! { "_id": true }), Some(doc! { "_id": 1 }));
        let city = Some(doc! { "city": 1 });
        assert_eq!(with_id(doc! { "_id": 0, "city": 1 }), city);
    }

    #[test]
    fn an_event_keeps_what_is_needed_of_it() {
        let only = Fields::of(&doc! { "city": true, "address": { "zip": 1 }, "a.b": 1.0 }).unwrap();
        assert_eq!(
            only.of_document(),
            doc! { "city": 1, "address.zip": 1, "a.b": 1 }
        );
        let wanted = doc! { "$project": {
            "fullDocument.city": 1, "fullDocument.address.zip": 1, "fullDocument.a.b": 1,
            "operationType": 1, "documentKey": 1, "clusterTime": 1, "fullDocument._id": 1,
        } };
        assert_eq!(only.of_event(), wanted);
        let id = Fields::of(&doc! { "_id": 1 }).unwrap();
        let wanted = doc! { "$project": {
            "fullDocument._id": 1, "operationType": 1, "documentKey": 1, "clusterTime": 1,
        } };
        assert_eq!(id.of_event(), wanted);
        let without = Fields::of(&doc! { "photo": 0, "meta": { "raw": false } }).unwrap();
        assert_eq!(without.of_document(), doc! { "photo": 0, "meta.raw": 0 });
        let wanted = doc! { "$project": { "fullDocument.photo": 0, "fullDocument.meta.raw": 0 } };
        assert_eq!(without.of_event(), wanted);
    }

    #[test]
    fn what_computes_is_refused() {
        for (projection, says) in [
            (doc! { "total": { "$add": ["$a", "$b"] } }, "`total.$add`"),
            (doc! { "city": "$town" }, "`city`"),
            (doc! { "items.$": 1 }, "`items.$`"),
            (doc! { "items": { "$slice": 1 } }, "`items.$slice`"),
            (doc! { "city": null }, "`city`"),
            (doc! { "city": {} }, "`city`"),
            (doc! { "_id.region": 1 }, "`_id.region`"),
            (doc! { "city": 1, "photo": 0 }, "leaves out `photo`"),
            (doc! { "photo": 0, "city": 1 }, "keeps `city`"),
        ] {
            let reason = Fields::of(&projection).unwrap_err();
            assert!(reason.contains(says), "{projection}: {reason}");
        }
    }
}
