//! Work that no epoch waits for, such as rebuilds: on threads of its own, which let those of the epochs
//! go first where cores are short.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

/// How much may be under way at once: more rebuilds are no faster on few cores and hold more memory.
const AT_ONCE: usize = 2;

/// The threads. What still runs there ends with them.
pub(super) struct Background {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    slots: Semaphore,
}

impl Background {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("background")
            .on_thread_start(step_back)
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            slots: Semaphore::new(AT_ONCE),
        })
    }

    /// Waits for its turn, which lasts until the answer is dropped.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        self.slots.acquire().await.expect("nobody closes it")
    }

    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime
            .as_ref()
            .expect("there until it is dropped")
            .spawn(work)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // waiting is refused to whoever drops it inside of another runtime
            runtime.shutdown_background();
        }
    }
}

/// Takes a smaller share of the processor than other threads. Only Linux does that by thread.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(10) {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "background work keeps the priority of epochs"
        );
    }
}
