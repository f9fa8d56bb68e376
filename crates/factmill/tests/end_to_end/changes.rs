//! A collection and its change stream, from the server to the table: under changes, through kills of
//! the server, and where the stored position leads nowhere any more.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use factmill_testkit::{Mongo, MongoProxy};
use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use tokio_postgres::Client;

use super::world::{Running, World, eventually, finished};

/// A job that follows `shop.orders`, whose key is its `_id`.
fn project(folder: &Path) -> Result<()> {
    let write = |name: &str, text: &str| -> Result<()> {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(fs::write(path, text)?)
    };
    write(
        "factmill.yml",
        "profiles:\n  local:\n    mongo: { url: \"${MONGO_URL}\" }\n    \
         warehouse: { url: \"${DATABASE_URL}\" }\n    lake: { path: \"${LAKE_PATH}\" }\n",
    )?;
    write("dbt_project.yml", "name: shop\nversion: \"1\"\n")?;
    write(
        "models/_sources.yml",
        "sources:
  - name: shop
    tables:
      - name: orders
        config: { meta: { factmill: { key: [id] } } }
        columns:
          - { name: id, data_type: integer, config: { meta: { factmill: { from: _id } } } }
          - { name: city, data_type: text }
          - { name: version, data_type: integer }
",
    )?;
    write(
        "models/orders.sql",
        "{{ config(materialized='incremental', unique_key='id') }}\n\
         select id, city, version from {{ source('shop', 'orders') }}\n",
    )?;
    write(
        "jobs/shop.yml",
        "sources:\n  shop.orders:\n    mongo: { database: shop, collection: orders }\n\
         models: [orders]\ntrigger: { max_rows: 100, max_wait: 5ms }\n",
    )
}

/// A server with change streams and a job that follows a collection of it.
struct Shop {
    world: World,
    folder: tempfile::TempDir,
    collection: Collection<Document>,
    warehouse: Client,
}

async fn orders(mongo: &Mongo) -> Result<Collection<Document>> {
    Ok(mongo.connect().await?.database("shop").collection("orders"))
}

impl Shop {
    async fn open(mongo: &Mongo) -> Result<Self> {
        let world = World::start().await?;
        let folder = tempfile::tempdir()?;
        project(folder.path())?;
        Ok(Self {
            warehouse: world.warehouse().await?,
            collection: orders(mongo).await?,
            folder,
            world,
        })
    }

    /// SIGKILL, and all data there again; connections of before are dead.
    async fn kill_and_restart(&mut self, mongo: &Mongo) -> Result<()> {
        mongo.kill()?;
        mongo.restart().await?;
        self.collection = orders(mongo).await?;
        Ok(())
    }

    fn stream(&self, mongo_url: &str, more: &[&str]) -> Command {
        let arguments = [&["stream", "shop"], more].concat();
        let mut command = self.world.factmill_in(self.folder.path(), &arguments);
        command.env("MONGO_URL", mongo_url);
        command
    }

    fn start(&self, mongo_url: &str) -> Result<Running> {
        let log = self.folder.path().join("stream.log");
        Running::start(self.stream(mongo_url, &[]), log)
    }

    async fn insert(&self, ids: std::ops::Range<i32>) -> Result<()> {
        let orders = ids.map(|id| doc! { "_id": id, "city": "Lyon", "version": 0 });
        self.collection.insert_many(orders).await?;
        Ok(())
    }

    /// Inserts, updates, replaces and deletes, one after the other.
    async fn change(&self, steps: std::ops::Range<i32>) -> Result<()> {
        for step in steps {
            let id = doc! { "_id": step * 7 % 600 };
            match step % 5 {
                0 => {
                    let new = doc! { "_id": 10_000 + step, "city": "Nice", "version": step };
                    self.collection.insert_one(new).await?;
                }
                1 => {
                    self.collection.delete_one(id).await?;
                }
                2 => {
                    let whole = doc! { "city": "Brest", "version": step };
                    self.collection.replace_one(id, whole).await?;
                }
                _ => {
                    let set = doc! { "$set": { "version": step } };
                    self.collection.update_one(id, set).await?;
                }
            }
        }
        Ok(())
    }

    async fn rows(&self) -> Result<Vec<(i32, String, i32)>> {
        let there = "select to_regclass('shop.orders') is not null";
        if !self
            .warehouse
            .query_one(there, &[])
            .await?
            .get::<_, bool>(0)
        {
            return Ok(Vec::new());
        }
        let rows = "select id, city, version from shop.orders order by id";
        let rows = self.warehouse.query(rows, &[]).await?;
        let row = |row: &tokio_postgres::Row| (row.get(0), row.get(1), row.get(2));
        Ok(rows.iter().map(row).collect())
    }

    /// Waits until the table is the collection.
    async fn equal(&self) -> Result<()> {
        let held = self
            .collection
            .find(doc! {})
            .sort(doc! { "_id": 1 })
            .await?;
        let held: Vec<Document> = held.try_collect().await?;
        let wanted = held.iter().map(|held| {
            let city = held.get_str("city")?.to_owned();
            Ok((held.get_i32("_id")?, city, held.get_i32("version")?))
        });
        let wanted: Vec<(i32, String, i32)> = wanted.collect::<Result<_>>()?;
        eventually("the table to be the collection", async || {
            Ok(self.rows().await? == wanted)
        })
        .await
    }
}

/// Ends with exit code 4, says what was found and both ways out.
fn assert_gap(code: Option<i32>, said: &str, found: &str) -> Result<()> {
    ensure!(code == Some(4), "exit code {code:?}:\n{said}");
    for says in [
        found,
        "bring the records back",
        "factmill positions shop accept-gap --source shop.orders",
    ] {
        ensure!(said.contains(says), "no `{says}` in\n{said}");
    }
    Ok(())
}

fn refused(command: Command, found: &str) -> Result<()> {
    let output = finished(command)?;
    assert_gap(
        output.status.code(),
        &String::from_utf8_lossy(&output.stderr),
        found,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_changes_and_a_server_that_is_killed_end_in_an_equal_table() -> Result<()>
{
    let mongo = Mongo::start_with_durable_changes().await?;
    let mut shop = Shop::open(&mongo).await?;
    shop.insert(0..3_000).await?;
    let running = shop.start(mongo.url())?;
    // in the middle of the snapshot, with changes before and after
    let some = async || Ok(shop.rows().await?.len() >= 300);
    let (begun, changed) = tokio::join!(eventually("some rows", some), shop.change(0..100));
    let told = || running.said().unwrap_or_default();
    begun.and(changed).with_context(told)?;
    shop.kill_and_restart(&mongo).await?;
    shop.change(100..200).await?;
    shop.equal().await.with_context(told)?;
    // in the middle of the changes
    shop.change(200..250).await?;
    shop.kill_and_restart(&mongo).await?;
    shop.change(250..300).await?;
    shop.equal().await.with_context(told)?;
    let (status, said) = running.end()?;
    ensure!(status.success(), "the stream ended with {status}:\n{said}");
    ensure!(
        said.contains("trying again"),
        "no kill was noticed:\n{said}"
    );
    Ok(())
}

/// The stand-in forgets no token, so a proxy answers as MongoDB does whose log of changes has moved
/// past it (286, `ChangeStreamHistoryLost`).
#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_leads_nowhere_any_more_is_exit_code_4_with_the_ways_out() -> Result<()> {
    let mongo = Mongo::start_with_changes().await?;
    let proxy = MongoProxy::before(&mongo).await?;
    let shop = Shop::open(&mongo).await?;
    shop.insert(0..10).await?;
    let running = shop.start(proxy.url())?;
    shop.equal().await?;
    let (status, said) = running.end()?;
    ensure!(status.success(), "the stream ended with {status}:\n{said}");

    // another server, where a collection of that name is too
    let other = Mongo::start_with_changes().await?;
    let elsewhere = orders(&other).await?;
    elsewhere
        .insert_one(doc! { "_id": 1, "city": "Lyon", "version": 0 })
        .await?;
    let once = ["--once"];
    refused(shop.stream(other.url(), &once), "this is another server")?;

    // dropped while it is followed, and found gone by the next start
    let running = shop.start(proxy.url())?;
    shop.change(0..10).await?;
    shop.equal().await?;
    shop.collection.drop().await?;
    let (status, said) = running.wait()?;
    assert_gap(status.code(), &said, "the collection was dropped")?;
    refused(shop.stream(proxy.url(), &[]), "does not exist any more")?;

    // there again, but the server has forgotten the token
    shop.insert(0..10).await?;
    let forgotten = "the resume point may no longer be in the oplog";
    let resumes = |command: &Document| {
        let stages = command.get_array("pipeline");
        let stage = stages.ok().and_then(|stages| stages.first()?.as_document());
        let stage = stage.and_then(|stage| stage.get_document("$changeStream").ok());
        stage.is_some_and(|stage| stage.contains_key("resumeAfter"))
    };
    proxy.refuse(resumes, 286, "ChangeStreamHistoryLost", forgotten);
    refused(shop.stream(proxy.url(), &once), forgotten)
}
