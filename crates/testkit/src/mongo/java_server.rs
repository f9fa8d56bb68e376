//! mongo-java-server, a stand-in with change streams, from Maven Central.
//!
//! It keeps its documents in memory, or with its H2 backend in a file, the log of changes too. It has
//! no UUIDs of collections and no tokens of whole batches, forgets no token, and its events of updates
//! carry a wrong `documentKey`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use factmill_provision::packages::{self, SystemPackage};
use factmill_provision::process::{Launch, Parting, ServerProcess};
use factmill_provision::program;

use crate::toolchain::{self, Artifact};

const VERSION: &str = "1.47.0";

/// The launcher is compiled: a runtime alone does not do.
const COMPILER: SystemPackage = SystemPackage {
    what: "a Java compiler",
    apt: &["default-jdk-headless"],
    brew: &["openjdk"],
};

/// Reports a version that drivers of today accept; says "ready" when its port is open. With a file as
/// second argument each answer comes after what it says is in the file, and the port opens in a later
/// second than any that a server before it lived in: an event's time is the second and a number that
/// begins at 0 with each start, so events of the same second would be older than those of before.
const SOURCE: &str = r#"
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.AbstractMongoBackend;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.time.Instant;
import java.util.List;

public class Launcher {
    public static void main(String[] arguments) {
        long began = Instant.now().getEpochSecond();
        AbstractMongoBackend backend = arguments.length > 1 ? inFile(arguments[1]) : new MemoryBackend();
        backend.version(new MongoVersion() {
            public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
            public int getWireVersion() { return 13; }
        });
        MongoServer server = new MongoServer(backend);
        server.enableOplog();
        while (arguments.length > 1 && Instant.now().getEpochSecond() == began) {
            Thread.onSpinWait();
        }
        server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
        System.out.println("ready");
    }

    static AbstractMongoBackend inFile(String file) {
        return new H2Backend(file) {
            public Document handleMessage(MongoMessage message) {
                Document answer = super.handleMessage(message);
                commit();
                return answer;
            }
        };
    }
}
"#;

/// The folder with the jars and the compiled launcher.
pub(super) fn program() -> Result<PathBuf> {
    toolchain::cached(&format!("mongo-java-server-{VERSION}-r3"), |folder| {
        eprintln!("testkit: fetching mongo-java-server {VERSION} by Maven");
        let artifact = |name| Artifact {
            group: "de.bwaldvogel",
            name,
            version: VERSION,
        };
        let artifacts = ["mongo-java-server", "mongo-java-server-h2-backend"];
        toolchain::copy(&artifacts.map(artifact), folder)?;
        let source = folder.join("Launcher.java");
        fs::write(&source, SOURCE).context("could not write the launcher")?;
        program::output(
            Command::new(compiler()?)
                .arg("-cp")
                .arg(folder.join("*"))
                .arg("-d")
                .arg(folder)
                .arg(&source),
        )?;
        Ok(())
    })
}

fn compiler() -> Result<PathBuf> {
    if let Some(found) = program::find("javac") {
        return Ok(found);
    }
    packages::install(&COMPILER)?;
    program::find("javac").ok_or_else(|| packages::missing(&COMPILER).into())
}

/// Where it keeps its documents.
#[derive(Debug, Clone, Copy)]
pub(super) enum Store {
    Memory,
    File,
}

pub(super) fn launch(
    program: &Path,
    store: Store,
    folder: &Path,
    port: u16,
) -> Result<ServerProcess> {
    let mut command = Command::new(toolchain::java()?);
    command
        // it may hold its documents in memory; the heap grows only as they come
        .args(["-Xmx3g", "-XX:+UseSerialGC"])
        // its $sample sorts by a random order, which Java's other sort notices now and then and refuses
        .args(["-Djava.util.Arrays.useLegacyMergeSort=true", "-cp"])
        .arg(format!("{0}:{0}/*", program.display()))
        .arg("Launcher")
        .arg(port.to_string())
        .args(match store {
            Store::Memory => None,
            Store::File => Some("documents.mv"),
        })
        .current_dir(folder);
    Ok(ServerProcess::start(Launch {
        name: "mongo-java-server",
        command,
        log: folder.join("server.log"),
        ready: |line| line == "ready",
        within: Duration::from_secs(60),
        parting: Parting::Kill,
        scratch: Some(folder.to_path_buf()),
    })?)
}
