//! A proxy in front of a MongoDB server that answers chosen commands with an error of a real server,
//! for what no stand-in does by itself, such as forgetting a resume token.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use mongodb::bson::{Document, doc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::Mongo;

/// The operation that all commands and answers of today are.
const OP_MSG: i32 = 2013;

/// Length, id, id answered to, operation: four numbers of four bytes.
const HEADER: usize = 16;

/// A refusal: which commands, and the answer.
struct Refusal {
    is_meant: fn(&Document) -> bool,
    answer: Document,
}

type Refusals = Arc<Mutex<Vec<Refusal>>>;

/// Passes everything on, but for commands that it was told to refuse. Dropping it ends it.
pub struct MongoProxy {
    url: String,
    refusals: Refusals,
    task: JoinHandle<()>,
}

impl MongoProxy {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    /// When the server's URL names no host, or there is no port.
    pub async fn before(mongo: &Mongo) -> Result<Self> {
        let place = mongo.url().trim_start_matches("mongodb://");
        let (upstream, _) = place.split_once('/').context("a URL with a host")?;
        let upstream = upstream.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!(
            "mongodb://{}/?directConnection=true",
            listener.local_addr()?
        );
        let refusals = Refusals::default();
        let known = Arc::clone(&refusals);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, refusals) = (upstream.clone(), Arc::clone(&known));
                // either side may go away at any time; the other one sees its connection close
                tokio::spawn(async move { pass_on(client, &upstream, &refusals).await.ok() });
            }
        });
        Ok(Self {
            url,
            refusals,
            task,
        })
    }

    /// The connection string of the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers commands that `is_meant` with this error from now on.
    pub fn refuse(&self, is_meant: fn(&Document) -> bool, code: i32, name: &str, message: &str) {
        let answer = doc! { "ok": 0.0, "errmsg": message, "code": code, "codeName": name };
        lock(&self.refusals).push(Refusal { is_meant, answer });
    }
}

impl Drop for MongoProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(refusals: &Refusals) -> std::sync::MutexGuard<'_, Vec<Refusal>> {
    refusals.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes messages of one connection on in both directions until one side closes.
async fn pass_on(client: TcpStream, upstream: &str, refusals: &Refusals) -> Result<()> {
    let server = TcpStream::connect(upstream).await?;
    let (mut from_client, to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let to_client = tokio::sync::Mutex::new(to_client);
    let asked = async {
        loop {
            let message = read(&mut from_client).await?;
            match refused(&message, refusals) {
                Some(answer) => answer_with(&answer, &message, &to_client).await?,
                None => to_server.write_all(&message).await?,
            }
        }
    };
    let answered = async {
        loop {
            let message = read(&mut from_server).await?;
            to_client.lock().await.write_all(&message).await?;
        }
    };
    tokio::select! {
        ended = asked => ended,
        ended = answered => ended,
    }
}

/// A whole message.
async fn read(from: &mut (impl AsyncReadExt + Unpin)) -> Result<Vec<u8>> {
    let mut message = vec![0; 4];
    from.read_exact(&mut message).await?;
    let length = u32::from_le_bytes(message.as_slice().try_into()?);
    message.resize(usize::try_from(length)?.max(HEADER), 0);
    from.read_exact(&mut message[4..]).await?;
    Ok(message)
}

fn refused(message: &[u8], refusals: &Refusals) -> Option<Document> {
    let operation = message.get(12..HEADER)?.try_into().ok()?;
    // behind the header: flags, then the section of kind 0 with the command
    let section = message.get(HEADER + 4..)?;
    if i32::from_le_bytes(operation) != OP_MSG || section.first() != Some(&0) {
        return None;
    }
    let command = Document::from_reader(&section[1..]).ok()?;
    let refusals = lock(refusals);
    let refusal = refusals
        .iter()
        .find(|refusal| (refusal.is_meant)(&command))?;
    Some(refusal.answer.clone())
}

async fn answer_with(
    answer: &Document,
    asked: &[u8],
    to_client: &tokio::sync::Mutex<OwnedWriteHalf>,
) -> Result<()> {
    let mut body = Vec::new();
    answer.to_writer(&mut body)?;
    let length = i32::try_from(HEADER + 5 + body.len())?;
    let mut message = length.to_le_bytes().to_vec();
    message.extend(0_i32.to_le_bytes());
    message.extend(&asked[4..8]);
    message.extend(OP_MSG.to_le_bytes());
    message.extend([0; 5]);
    message.extend(body);
    to_client.lock().await.write_all(&message).await?;
    Ok(())
}
