//! Ctrl-C and SIGTERM: the first asks for a graceful end, the second ends at once.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::printer::Printer;

/// The exit status of a process that a second Ctrl-C ended: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// What must be done even when the process ends at once.
type LastAct = Box<dyn FnOnce() + Send>;

/// Tells everybody that the process was asked to end.
#[derive(Clone)]
pub(crate) struct Shutdown {
    token: CancellationToken,
    last_acts: Arc<Mutex<Vec<LastAct>>>,
}

impl Shutdown {
    /// Listens for SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub(crate) fn listen(printer: &Printer) -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = Self {
            token: CancellationToken::new(),
            last_acts: Arc::default(),
        };
        let (listener, printer) = (shutdown.clone(), printer.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if listener.token.is_cancelled() {
                    listener.run_last_acts();
                    std::process::exit(INTERRUPTED);
                }
                printer.note("ending: the epoch in flight is finished or dropped; once more to end at once");
                listener.token.cancel();
            }
        });
        Ok(shutdown)
    }

    /// Cancelled by the first signal, or by [`Shutdown::begin`].
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Registers what is done, in reverse order, before a second signal ends the process: ending
    /// child processes. It must not wait for long.
    pub(crate) fn before_abrupt_end(&self, act: impl FnOnce() + Send + 'static) {
        self.last_acts.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(act));
    }

    fn run_last_acts(&self) {
        let mut acts = self.last_acts.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(act) = acts.pop() {
            act();
        }
    }
}
