//! Reading and cleaning side by side, with the results in the order of the file.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::error::PaymentsError;
use super::rows::{RawChunk, Rows};

/// How much is in work at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// Rows of a chunk.
    pub(super) chunk_size: NonZeroUsize,
    /// Chunks at once, each on a thread of its own.
    pub(super) tasks: NonZeroUsize,
    /// Rows up to this one are passed over.
    pub(super) after: u64,
    /// The last row that is read.
    pub(super) last: u64,
}

/// What the reader hands over, in the order of the file.
enum Turn<T> {
    /// A chunk is in work; its result comes here.
    Chunk(Receiver<Result<T, PaymentsError>>),
    /// The end of the file, with the content's hash.
    End(String),
    Failed(PaymentsError),
}

/// The results of all chunks in the order of the file. Dropping it ends the threads.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    turns: Receiver<Turn<T>>,
}

/// A chunk's result, or the end.
pub(super) enum Next<T> {
    Chunk(T),
    /// The file's end; the content's hash, where everything was read.
    End(String),
}

/// A chunk and where its result goes.
type Job<T> = (RawChunk, SyncSender<Result<T, PaymentsError>>);

impl<T: Send + 'static> Chunks<T> {
    /// Starts a thread that reads, and one for each task that does `work` on a chunk. At most `tasks`
    /// chunks are in work or done and not yet asked for, one more is being read.
    pub(super) fn start<F>(rows: Rows, work: Work, on_chunk: F) -> Self
    where
        F: Fn(RawChunk) -> Result<T, PaymentsError> + Send + Sync + 'static,
    {
        let tasks = work.tasks.get();
        let (give_turn, turns) = sync_channel(tasks);
        let (give_job, jobs) = sync_channel::<Job<T>>(tasks);
        let (jobs, on_chunk) = (Arc::new(Mutex::new(jobs)), Arc::new(on_chunk));
        for _ in 0..tasks {
            let (jobs, on_chunk) = (Arc::clone(&jobs), Arc::clone(&on_chunk));
            thread::spawn(move || {
                while let Some((chunk, result)) = next_job(&jobs) {
                    // Nobody waits for it any more when the source is gone.
                    let _ = result.send(on_chunk(chunk));
                }
            });
        }
        thread::spawn(move || read(rows, work, &give_job, &give_turn));
        Self { turns }
    }

    /// Waits for the next chunk's result.
    pub(super) fn next(&self) -> Result<Next<T>, PaymentsError> {
        match self.turns.recv() {
            Ok(Turn::Chunk(result)) => match result.recv() {
                Ok(result) => result.map(Next::Chunk),
                Err(_) => Err(PaymentsError::Thread),
            },
            Ok(Turn::End(hash)) => Ok(Next::End(hash)),
            Ok(Turn::Failed(error)) => Err(error),
            Err(_) => Err(PaymentsError::Thread),
        }
    }
}

fn next_job<T>(jobs: &Mutex<Receiver<Job<T>>>) -> Option<Job<T>> {
    jobs.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
}

/// Reads until the end, or until nobody asks any more.
fn read<T>(mut rows: Rows, work: Work, jobs: &SyncSender<Job<T>>, turns: &SyncSender<Turn<T>>) {
    loop {
        let left = usize::try_from(work.last.saturating_sub(rows.row())).unwrap_or(usize::MAX);
        let chunk = match NonZeroUsize::new(left) {
            Some(left) => rows.next_chunk(work.chunk_size.min(left), work.after),
            None => Ok(None),
        };
        let turn = match chunk {
            Ok(Some(chunk)) => {
                let (give, result) = sync_channel(1);
                if jobs.send((chunk, give)).is_err() {
                    return;
                }
                Turn::Chunk(result)
            }
            Ok(None) => Turn::End(rows.content_hash()),
            Err(error) => Turn::Failed(error),
        };
        let is_last = !matches!(turn, Turn::Chunk(_));
        if turns.send(turn).is_err() || is_last {
            return;
        }
    }
}
