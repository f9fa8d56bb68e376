//! Ctrl-C and SIGTERM: the first asks for a graceful end, the second ends at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::printer::Printer;

/// The exit status of a process that a second Ctrl-C ended: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Tells everybody that the process was asked to end.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown(CancellationToken);

impl Shutdown {
    /// Listens for SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub(crate) fn listen(printer: &Printer) -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = Self(CancellationToken::new());
        let (listener, printer) = (shutdown.clone(), printer.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if listener.0.is_cancelled() {
                    // Servers of our own are ended by their watchdogs once this process is gone.
                    std::process::exit(INTERRUPTED);
                }
                printer.note(
                    "ending: the epoch in flight is finished or dropped; once more to end at once",
                );
                listener.0.cancel();
            }
        });
        Ok(shutdown)
    }

    /// Cancelled by the first signal.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.0
    }
}
