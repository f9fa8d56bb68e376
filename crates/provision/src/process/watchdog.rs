//! The process that outlives the starting one just long enough to end its server.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Parting;
use crate::ProvisionError;

/// `read` returns when the other end of the pipe closes: then the starting process has ended, for
/// it drops a watchdog only after the server. The server gets ten seconds to follow its request.
const SCRIPT: &str = r#"
read -r _
kill -s "$2" -- "$3$1" 2>/dev/null
tries=100
while [ "$tries" -gt 0 ] && kill -0 "$1" 2>/dev/null; do
  sleep 0.1
  tries=$((tries - 1))
done
kill -s KILL -- "-$1" 2>/dev/null
if [ -n "$4" ]; then rm -rf -- "$4"; fi
"#;

#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Ends the server with this id, and removes its scratch folder, when this process ends first.
    pub(super) fn watch(
        server: u32,
        parting: Parting,
        scratch: Option<&Path>,
    ) -> Result<Self, ProvisionError> {
        let (signal, group) = match parting {
            Parting::Orderly => ("INT", ""),
            Parting::AtOnce => ("QUIT", ""),
            Parting::Kill => ("KILL", "-"),
        };
        // its own group: what kills the group of the starting process must not kill its watchdog;
        // no outputs: whoever reads those of the starting process must not wait for it
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "watchdog", &server.to_string(), signal, group])
            .arg(scratch.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map_err(ProvisionError::io("start the watchdog of a server"))?;
        Ok(Self { shell })
    }
}

impl Drop for Watchdog {
    /// Runs after the server has ended in order: there is nothing left to watch.
    fn drop(&mut self) {
        // both fail only when it has ended by itself, which is what is wanted
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;
    use crate::process::exists;
    use std::time::{Duration, Instant};

    #[test]
    fn a_server_whose_starter_is_gone_is_ended_with_its_scratch() {
        for parting in [Parting::Kill, Parting::Orderly] {
            let scratch = tempfile::tempdir().unwrap().keep();
            let mut server = Command::new("sleep")
                .arg("600")
                .process_group(0)
                .spawn()
                .unwrap();
            let mut watchdog = Watchdog::watch(server.id(), parting, Some(&scratch)).unwrap();
            // what the operating system does to the pipe when the starter ends
            drop(watchdog.shell.stdin.take());
            server.wait().unwrap();
            let deadline = Instant::now() + Duration::from_secs(20);
            while scratch.exists() {
                assert!(Instant::now() < deadline, "the scratch folder stays");
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(!exists(server.id()));
        }
    }
}
