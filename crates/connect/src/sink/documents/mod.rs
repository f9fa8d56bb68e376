//! Collections that models go to: a document for each row, under the `_id` of the raw document of
//! its record, or under its key where rows are changes of keys.
//!
//! Documents are written before the epoch's transaction, so writing is idempotent: what an epoch that
//! was never committed left behind is what the next attempt writes again, at the same place. A row of
//! a key carries its order as `_factmill_order`; an older row neither replaces nor deletes a newer
//! one. A deletion leaves nothing behind, so that a collection holds what the model's table holds and
//! whoever reads it needs no filter.
//!
//! # What is not promised
//!
//! Nothing is left behind, so nothing tells an upsert that its key was deleted by a newer row. A
//! process that is paused just before it writes an epoch's documents, for so long that another one
//! takes its source over, upserts a key and deletes it again, inserts that key when it wakes up, before
//! its own commit is fenced. Such a document stays, with an older `_factmill_order` than the deletion
//! had, until a row of its key comes again; the table in the warehouse has no row of it and is right.

mod column;
mod error;

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{AsArray, BinaryArray, BooleanArray};
use factmill_core::document::{Collection, DocumentChange};
use factmill_core::order::RecordPlace;
use factmill_core::table::{DELETED_COLUMN, ORDER_COLUMN};
use futures::{StreamExt, TryStreamExt, stream};
use mongodb::bson::spec::ElementType;
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::error::Error;

pub use error::DocumentsError;

use super::bson::Writer;
use super::raw_store::document::write_raw_id;
use super::raw_store::error as failure;
use super::server::{self, Server};
use super::write_command::{
    self, Command, DUPLICATE_KEY, LARGEST_DOCUMENT, Refused, TooLarge, Unsure, Verb,
};
use column::{Column, Field, Name};

/// How many documents are asked for at once.
const LOOK_UPS: usize = 32;

/// The collections of a job's models.
#[derive(Debug, Clone)]
pub struct Documents {
    server: Server,
    collections: Arc<[Collection]>,
    has_decimals: bool,
}

impl Documents {
    /// Meets the server and makes sure that it takes the collections.
    ///
    /// # Errors
    /// A URL of another form, a server that does not answer, refuses access or a name. None of them
    /// shows the URL.
    pub async fn connect(
        url: &str,
        collections: Arc<[Collection]>,
    ) -> Result<Self, DocumentsError> {
        let server = Server::named(url).await.ok_or(DocumentsError::Url)?;
        let mut documents = Self {
            has_decimals: false,
            server,
            collections,
        };
        let Some(first) = documents.collections.first() else {
            return Ok(documents);
        };
        let admin = documents.server.client.database("admin");
        let about = admin.run_command(doc! { "buildInfo": 1 }).await;
        let about = about.map_err(|source| match failure::is_transient(&source) {
            true => DocumentsError::Unreachable {
                hosts: documents.server.hosts.clone(),
                source: Box::new(source),
            },
            false => Sink::new(&documents, first).failed(source),
        })?;
        documents.has_decimals = has_decimals(&about);
        for collection in documents.collections.iter() {
            Sink::new(&documents, collection).prepare().await?;
        }
        Ok(documents)
    }

    /// Whether numerics become Decimal128; where the server does not know it they are text.
    pub fn has_decimals(&self) -> bool {
        self.has_decimals
    }

    /// Writes what an epoch changes. When it returns, a majority of the servers has it.
    ///
    /// Cancelling it, or a failure, leaves some of it written; writing it again is harmless.
    ///
    /// # Errors
    /// Transient ones of the connection; a document that is too large or that the server refuses.
    pub async fn write(&self, changes: &[DocumentChange]) -> Result<(), DocumentsError> {
        for change in changes {
            let collection = &self.collections[change.collection];
            Sink::new(self, collection).write(change).await?;
        }
        Ok(())
    }
}

/// FerretDB 1, which alone says its version in this field, ends the connection when it meets a
/// Decimal128.
fn has_decimals(build_info: &Document) -> bool {
    !build_info.contains_key("ferretdbVersion")
}

/// One collection.
struct Sink<'a> {
    server: &'a Server,
    collection: &'a Collection,
    has_decimals: bool,
}

/// The rows of a change, ready to be written.
struct Rows<'a> {
    fields: Vec<Field>,
    order: &'a BinaryArray,
    key: &'a [usize],
    /// Of changes of keys, whether each goes away.
    deleted: Option<&'a BooleanArray>,
    count: usize,
}

impl<'a> Sink<'a> {
    fn new(documents: &'a Documents, collection: &'a Collection) -> Self {
        Self {
            server: &documents.server,
            collection,
            has_decimals: documents.has_decimals,
        }
    }

    /// Creates the collection, so that a name or a right that is missing is told at once.
    async fn prepare(&self) -> Result<(), DocumentsError> {
        const NAMESPACE_EXISTS: i32 = 48;
        let name = &self.collection.name.collection;
        match self.database().create_collection(name).await {
            Err(source) if failure::code(&source) == Some(NAMESPACE_EXISTS) => Ok(()),
            created => created.map_err(|source| self.failed(source)),
        }
    }

    async fn write(&self, change: &DocumentChange) -> Result<(), DocumentsError> {
        let rows = self.rows(change)?;
        match rows.deleted {
            None => self.keep_records(&rows).await,
            Some(deleted) => self.keep_keys(&rows, deleted).await,
        }
    }

    fn rows<'b>(&'b self, change: &'b DocumentChange) -> Result<Rows<'b>, DocumentsError> {
        let batch = &change.rows;
        let other = |reason: String| DocumentsError::Rows {
            model: self.collection.model.clone(),
            reason,
        };
        let declared = self.collection.columns.iter();
        let fields = declared.zip(batch.columns()).map(|(declared, values)| {
            let values = Column::new(values, &declared.data_type, self.has_decimals);
            Ok(Field {
                name: declared.name.clone(),
                values: values.map_err(|error| other(error.to_string()))?,
            })
        });
        let fields = fields.collect::<Result<Vec<_>, DocumentsError>>()?;
        let order = batch.column_by_name(ORDER_COLUMN);
        let order = order.and_then(|order| order.as_binary_opt());
        let order = order.ok_or_else(|| other("they have no order".into()))?;
        let is_keyed = !self.collection.key.is_empty();
        let deleted = batch.column_by_name(DELETED_COLUMN).filter(|_| is_keyed);
        let deleted = deleted.and_then(|deleted| deleted.as_boolean_opt());
        if deleted.is_some() != is_keyed {
            return Err(other("they do not say which keys go away".into()));
        }
        Ok(Rows {
            fields,
            order,
            key: &self.collection.key,
            deleted,
            count: batch.num_rows(),
        })
    }

    /// Each row under the `_id` of its raw document: inserted, and where an attempt before this one
    /// has written it, replaced.
    async fn keep_records(&self, rows: &Rows<'_>) -> Result<(), DocumentsError> {
        let (mut id, mut item) = (String::new(), Writer::default());
        let mut insert = self.command(Verb::Insert);
        for row in 0..rows.count {
            let place = RecordPlace::decode(rows.order.value(row));
            let place = place.ok_or_else(|| DocumentsError::Rows {
                model: self.collection.model.clone(),
                reason: "the order of a row names no record".into(),
            })?;
            id.clear();
            write_raw_id(&mut id, &place);
            item.bytes.clear();
            let open = item.begin();
            item.string("_id", &id);
            rows.write_fields(&mut item, row);
            item.end(open);
            if insert.is_full_for(item.bytes.len()) {
                let full = std::mem::replace(&mut insert, self.command(Verb::Insert));
                self.insert(full).await?;
            }
            self.push(&mut insert, &item.bytes)?;
        }
        self.insert(insert).await
    }

    async fn insert(&self, insert: Command) -> Result<(), DocumentsError> {
        if insert.is_empty() {
            return Ok(());
        }
        let (command, ranges) = insert.finish();
        let mut taken = Vec::new();
        for refused in self.send(&command, ranges.len()).await? {
            let document = &command[ranges[refused.item].clone()];
            if refused.code != DUPLICATE_KEY {
                return Err(self.refused(document, "_id", refused));
            }
            let id = RawDocument::from_bytes(document);
            let id = id.ok().and_then(|document| document.get_str("_id").ok());
            let id = id.ok_or_else(|| self.answer("a document without a text `_id`"))?;
            taken.push((id, document));
        }
        let (mut replace, mut item) = (self.command(Verb::Update), Writer::default());
        for (id, document) in self.that_differ(taken).await? {
            item.bytes.clear();
            let open = item.begin();
            let query = item.begin_element(ElementType::EmbeddedDocument, "q");
            item.string("_id", id);
            item.end(query);
            item.name(ElementType::EmbeddedDocument, "u");
            item.bytes.extend_from_slice(document);
            item.boolean("upsert", true);
            item.end(open);
            if replace.is_full_for(item.bytes.len()) {
                let full = std::mem::replace(&mut replace, self.command(Verb::Update));
                self.settle(full).await?;
            }
            self.push(&mut replace, &item.bytes)?;
        }
        self.settle(replace).await
    }

    /// Those documents that are not stored as they are. After a crash nearly all are the same, and a
    /// look by `_id` is the one question that every server answers from an index.
    async fn that_differ<'b>(
        &self,
        taken: Vec<(&'b str, &'b [u8])>,
    ) -> Result<Vec<(&'b str, &'b [u8])>, DocumentsError> {
        let mut looks = Vec::with_capacity(taken.len());
        for (id, document) in taken {
            looks.push(self.unless_same(id, document));
        }
        stream::iter(looks)
            .buffer_unordered(LOOK_UPS)
            .try_filter_map(|differs| std::future::ready(Ok(differs)))
            .try_collect()
            .await
    }

    /// A document, unless it is stored as it is.
    async fn unless_same<'b>(
        &self,
        id: &'b str,
        document: &'b [u8],
    ) -> Result<Option<(&'b str, &'b [u8])>, DocumentsError> {
        let collection = &self.collection.name.collection;
        let collection = self.database().collection::<RawDocumentBuf>(collection);
        let stored = collection.find_one(doc! { "_id": id }).await;
        let stored = stored.map_err(|source| self.failed(source))?;
        let is_same = stored.is_some_and(|stored| stored.as_bytes() == document);
        Ok((!is_same).then_some((id, document)))
    }

    /// Sends replacements or deletions, all of which have to succeed.
    async fn settle(&self, command: Command) -> Result<(), DocumentsError> {
        if command.is_empty() {
            return Ok(());
        }
        let (command, ranges) = command.finish();
        let refused = self.send(&command, ranges.len()).await?;
        match refused.into_iter().next() {
            Some(refused) => {
                let item = &command[ranges[refused.item].clone()];
                Err(self.refused(item, "q", refused))
            }
            None => Ok(()),
        }
    }

    /// Each row under its key, unless a newer one is there; a deletion takes the document away.
    async fn keep_keys(
        &self,
        rows: &Rows<'_>,
        deleted: &BooleanArray,
    ) -> Result<(), DocumentsError> {
        let (mut order, mut item) = (String::new(), Writer::default());
        let (mut upsert, mut delete) = (self.command(Verb::Update), self.command(Verb::Delete));
        for row in 0..rows.count {
            // text, because servers compare binary by its length first
            order.clear();
            for byte in rows.order.value(row) {
                // writing to a string cannot fail
                let _ = write!(order, "{byte:02x}");
            }
            item.bytes.clear();
            let open = item.begin();
            rows.write_query(&mut item, row, &order);
            if deleted.value(row) {
                item.int32("limit", 1);
                item.end(open);
                if delete.is_full_for(item.bytes.len()) {
                    let full = std::mem::replace(&mut delete, self.command(Verb::Delete));
                    self.settle(full).await?;
                }
                self.push(&mut delete, &item.bytes)?;
            } else {
                let document = item.begin_element(ElementType::EmbeddedDocument, "u");
                rows.write_key(&mut item, row);
                rows.write_fields(&mut item, row);
                item.string(ORDER_COLUMN, &order);
                item.end(document);
                item.boolean("upsert", true);
                item.end(open);
                if upsert.is_full_for(item.bytes.len()) {
                    let full = std::mem::replace(&mut upsert, self.command(Verb::Update));
                    self.upsert(full).await?;
                }
                self.push(&mut upsert, &item.bytes)?;
            }
        }
        self.upsert(upsert).await?;
        self.settle(delete).await
    }

    /// An id that is taken belongs to a newer document, or to one that another process inserted
    /// between this one's look and its insert: the second attempt tells them apart.
    async fn upsert(&self, upsert: Command) -> Result<(), DocumentsError> {
        if upsert.is_empty() {
            return Ok(());
        }
        let (mut command, mut ranges) = upsert.finish();
        for _ in 0..2 {
            let mut again = self.command(Verb::Update);
            for refused in self.send(&command, ranges.len()).await? {
                let item = &command[ranges[refused.item].clone()];
                if refused.code != DUPLICATE_KEY {
                    return Err(self.refused(item, "q", refused));
                }
                self.push(&mut again, item)?;
            }
            if again.is_empty() {
                break;
            }
            (command, ranges) = again.finish();
        }
        Ok(())
    }

    fn command(&self, verb: Verb) -> Command {
        Command::new(verb, &self.collection.name.collection)
    }

    fn push(&self, command: &mut Command, item: &[u8]) -> Result<(), DocumentsError> {
        let pushed = command.push(|writer| writer.bytes.extend_from_slice(item));
        pushed.map_err(|TooLarge(bytes)| DocumentsError::TooLarge {
            model: self.collection.model.clone(),
            bytes,
            limit: LARGEST_DOCUMENT,
        })
    }

    /// Sends a command of so many items; those that the server did not write come back.
    async fn send(&self, command: &[u8], items: usize) -> Result<Vec<Refused>, DocumentsError> {
        let raw = RawDocumentBuf::from_bytes(command.to_vec())
            .map_err(|_| self.answer("the command is no document"))?;
        let written = server::answered(async { self.database().run_raw_command(raw).await }).await;
        let answer = written.ok_or_else(|| DocumentsError::NotAcknowledged {
            namespace: self.namespace(),
            reason: server::silence(),
        })?;
        let answer = answer.map_err(|source| self.failed(source))?;
        write_command::refused(&answer, items).map_err(|unsure| match unsure {
            Unsure::NotAcknowledged(reason) => DocumentsError::NotAcknowledged {
                namespace: self.namespace(),
                reason,
            },
            Unsure::Unclear(part) => self.answer(&part),
        })
    }

    fn database(&self) -> mongodb::Database {
        self.server.client.database(&self.collection.name.database)
    }

    fn namespace(&self) -> String {
        self.collection.name.to_string()
    }

    /// The refusal of an item, which has its `_id` in `within`, or itself.
    fn refused(&self, item: &[u8], within: &str, refused: Refused) -> DocumentsError {
        let document = RawDocument::from_bytes(item).ok();
        let document = match within {
            "_id" => document,
            part => document.and_then(|document| document.get_document(part).ok()),
        };
        let id = document.and_then(|document| document.get("_id").ok().flatten());
        let id = id.and_then(|id| mongodb::bson::Bson::try_from(id.to_owned()).ok());
        DocumentsError::Document {
            namespace: self.namespace(),
            model: self.collection.model.clone(),
            id: id.map_or_else(String::new, |id| id.to_string()),
            code: refused.code,
            reason: refused.reason,
        }
    }

    fn answer(&self, answer: &str) -> DocumentsError {
        DocumentsError::Answer {
            namespace: self.namespace(),
            answer: answer.to_owned(),
        }
    }

    fn failed(&self, source: Error) -> DocumentsError {
        let (hosts, namespace) = (self.server.hosts.clone(), self.namespace());
        let model = self.collection.model.clone();
        let (refused, name) = (failure::is_refusal(&source), failure::is_name(&source));
        let source = Box::new(source);
        match (refused, name) {
            (true, _) => DocumentsError::Refused {
                hosts,
                namespace,
                model,
                source,
            },
            (_, true) => DocumentsError::Name {
                hosts,
                namespace,
                model,
                source,
            },
            _ => DocumentsError::Request {
                namespace,
                model,
                source,
            },
        }
    }
}

impl Rows<'_> {
    fn write_fields(&self, writer: &mut Writer, row: usize) {
        for field in &self.fields {
            field.write(writer, row);
        }
    }

    /// Writes the key as `_id`: its value, or where it is made of several a document of them.
    fn write_key(&self, writer: &mut Writer, row: usize) {
        if let [only] = self.key {
            let values = &self.fields[*only].values;
            return values.write(writer, Name::Field("_id"), row);
        }
        let open = writer.begin_element(ElementType::EmbeddedDocument, "_id");
        for index in self.key {
            self.fields[*index].write(writer, row);
        }
        writer.end(open);
    }

    /// Writes `q`: the document of the row's key, unless a newer one is there.
    fn write_query(&self, writer: &mut Writer, row: usize, order: &str) {
        let query = writer.begin_element(ElementType::EmbeddedDocument, "q");
        self.write_key(writer, row);
        let is = writer.begin_element(ElementType::EmbeddedDocument, ORDER_COLUMN);
        let not = writer.begin_element(ElementType::EmbeddedDocument, "$not");
        writer.string("$gt", order);
        writer.end(not);
        writer.end(is);
        writer.end(query);
    }
}
