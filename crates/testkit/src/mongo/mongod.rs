//! A real `mongod` as a replica set of one member, which change streams need.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use factmill_provision::process::{Launch, Parting, ServerProcess};
use mongodb::bson::doc;

pub(super) fn launch(program: &Path, folder: &Path, port: u16) -> Result<ServerProcess> {
    let data = folder.join("data");
    fs::create_dir_all(&data).context("could not create MongoDB's data folder")?;
    let mut command = Command::new(program);
    command
        .args(["--bind_ip", "127.0.0.1", "--replSet", "test", "--port"])
        .arg(port.to_string())
        .arg("--dbpath")
        .arg(&data)
        .arg("--nounixsocket");
    Ok(ServerProcess::start(Launch {
        name: "MongoDB",
        command,
        log: folder.join("server.log"),
        // it logs JSON; this message has kept its words since version 3
        ready: |line| {
            line.to_ascii_lowercase()
                .contains("waiting for connections")
        },
        within: Duration::from_secs(60),
        parting: Parting::Kill,
        scratch: Some(folder.to_path_buf()),
    })?)
}

/// Makes the new server the only member of its set; returns when it takes writes.
pub(super) async fn initiate(client: &mongodb::Client) -> Result<()> {
    let admin = client.database("admin");
    admin
        .run_command(doc! { "replSetInitiate": {} })
        .await
        .context("could not make the MongoDB server a replica set")?;
    // waits in the server until an election made it primary: a write with majority needs one
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let hello = admin.run_command(doc! { "hello": 1 }).await?;
        if hello.get_bool("isWritablePrimary").unwrap_or(false) {
            return Ok(());
        }
        anyhow::ensure!(
            tokio::time::Instant::now() < deadline,
            "the MongoDB server did not become primary within 30 s"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
