//! mongo-java-server, an in-memory stand-in with change streams, from Maven Central.
//!
//! It keeps nothing over a restart, has no UUIDs of collections and no tokens of whole batches, and
//! its events of updates carry a wrong `documentKey`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use factmill_provision::packages::{self, SystemPackage};
use factmill_provision::process::{Launch, Parting, ServerProcess};
use factmill_provision::program;

use crate::toolchain;

const VERSION: &str = "1.47.0";

/// The launcher is compiled: a runtime alone does not do.
const COMPILER: SystemPackage = SystemPackage {
    what: "a Java compiler",
    apt: &["default-jdk-headless"],
    brew: &["openjdk"],
};

/// Reports a version that drivers of today accept; says "ready" when its port is open.
const SOURCE: &str = r#"
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

public class Launcher {
    public static void main(String[] arguments) {
        MemoryBackend backend = new MemoryBackend();
        backend.version(new MongoVersion() {
            public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
            public int getWireVersion() { return 13; }
        });
        MongoServer server = new MongoServer(backend);
        server.enableOplog();
        server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
        System.out.println("ready");
    }
}
"#;

/// The folder with the jars and the compiled launcher.
pub(super) fn program() -> Result<PathBuf> {
    toolchain::cached(&format!("mongo-java-server-{VERSION}"), |folder| {
        let maven = toolchain::maven()?;
        eprintln!("testkit: fetching mongo-java-server {VERSION} by Maven");
        let project = folder.join("pom.xml");
        fs::write(&project, pom()).context("could not write the Maven project")?;
        program::output(
            Command::new(maven)
                .args(["--batch-mode", "--quiet", "--file"])
                .arg(&project)
                .arg("dependency:copy-dependencies")
                .arg(format!("-DoutputDirectory={}", folder.display())),
        )?;
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

fn pom() -> String {
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n\
         <modelVersion>4.0.0</modelVersion>\n\
         <groupId>factmill</groupId><artifactId>test-mongo</artifactId><version>1</version>\n\
         <dependencies><dependency><groupId>de.bwaldvogel</groupId>\
         <artifactId>mongo-java-server</artifactId><version>{VERSION}</version>\
         </dependency></dependencies>\n</project>\n"
    )
}

pub(super) fn launch(program: &Path, folder: &Path, port: u16) -> Result<ServerProcess> {
    let mut command = Command::new(toolchain::java()?);
    command
        // it holds its documents in memory; the heap grows only as they come
        .args(["-Xmx3g", "-XX:+UseSerialGC", "-cp"])
        .arg(format!("{0}:{0}/*", program.display()))
        .arg("Launcher")
        .arg(port.to_string())
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
