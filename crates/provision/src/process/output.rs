//! Reads what a server writes: into its log file, and line by line for the one that says "ready".

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::ProvisionError;

pub(super) struct Output {
    ready: Receiver<()>,
}

/// Why no line said "ready".
pub(super) enum Silence {
    /// The time was over.
    TooLong,
    /// The server closed its outputs.
    Ended,
}

impl Output {
    pub(super) fn follow(
        child: &mut Child,
        log: &Path,
        ready: fn(&str) -> bool,
    ) -> Result<Self, ProvisionError> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(ProvisionError::io(format!(
                "open the log {}",
                log.display()
            )))?;
        let (sender, receiver) = channel();
        for pipe in [
            child
                .stdout
                .take()
                .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            child
                .stderr
                .take()
                .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ]
        .into_iter()
        .flatten()
        {
            let log = log
                .try_clone()
                .map_err(ProvisionError::io("share the log between two outputs"))?;
            let sender = sender.clone();
            thread::spawn(move || copy(pipe, log, ready, sender));
        }
        Ok(Self { ready: receiver })
    }

    pub(super) fn ready_within(&self, limit: Duration) -> Result<(), Silence> {
        self.ready
            .recv_timeout(limit)
            .map_err(|silence| match silence {
                RecvTimeoutError::Timeout => Silence::TooLong,
                RecvTimeoutError::Disconnected => Silence::Ended,
            })
    }
}

/// Copies until the pipe closes: a server whose pipe nobody empties would block on its next line.
fn copy(pipe: impl Read, mut log: File, ready: fn(&str) -> bool, sender: Sender<()>) {
    let mut lines = BufReader::new(pipe);
    let mut line = Vec::new();
    let mut sender = Some(sender);
    loop {
        line.clear();
        match lines.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // a full disk must not stop the server: the log is for people, the line may still be awaited
        let _ = log.write_all(&line);
        if ready(String::from_utf8_lossy(&line).trim_end())
            && let Some(waiting) = sender.take()
        {
            // nobody waits any more when the time was over
            let _ = waiting.send(());
        }
    }
}
