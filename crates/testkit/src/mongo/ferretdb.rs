//! FerretDB, a MongoDB-wire server with an embedded SQLite store, built from its Go module.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use factmill_provision::process::{Launch, Parting, ServerProcess};
use factmill_provision::program as commands;

use crate::toolchain;

const VERSION: &str = "v1.24.0";

/// Says "ready" when its port is open: the package itself logs nothing that could be waited for.
const SOURCE: &str = r#"package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	address, folder := os.Args[1], os.Args[2]
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: address},
		Handler:   "sqlite",
		// a killed server loses nothing by it, only a machine that loses power would
		SQLiteURL: "file:" + folder + "/?_pragma=synchronous(off)",
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			connection, err := net.Dial("tcp", address)
			if err == nil {
				connection.Close()
				fmt.Println("ready")
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	log.Fatal(server.Run(context.Background()))
}
"#;

/// The server's program, built once for the user.
pub(super) fn program() -> Result<PathBuf> {
    let folder = toolchain::cached(&format!("ferretdb-{VERSION}-r2"), |folder| {
        let go = toolchain::go()?;
        eprintln!("testkit: building FerretDB {VERSION}, about a minute");
        let module = format!(
            "module factmill.test/ferretdb\n\ngo 1.22\n\nrequire github.com/FerretDB/FerretDB {VERSION}\n"
        );
        fs::write(folder.join("go.mod"), module).context("could not write the Go module")?;
        fs::write(folder.join("main.go"), SOURCE).context("could not write the Go program")?;
        let run = |arguments: &[&str]| {
            commands::output(Command::new(&go).args(arguments).current_dir(folder))
        };
        run(&["mod", "tidy"])?;
        run(&["build", "-o", "ferretdb", "."])?;
        Ok(())
    })?;
    Ok(folder.join("ferretdb"))
}

pub(super) fn launch(program: &Path, folder: &Path, port: u16) -> Result<ServerProcess> {
    let data = folder.join("data");
    fs::create_dir_all(&data).context("could not create FerretDB's data folder")?;
    let mut command = Command::new(program);
    command
        .arg(format!("127.0.0.1:{port}"))
        .arg(&data)
        .current_dir(folder);
    Ok(ServerProcess::start(Launch {
        name: "FerretDB",
        command,
        log: folder.join("server.log"),
        ready: |line| line == "ready",
        within: Duration::from_secs(60),
        parting: Parting::Kill,
        scratch: Some(folder.to_path_buf()),
    })?)
}
