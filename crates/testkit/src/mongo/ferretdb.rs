//! FerretDB, a MongoDB-wire server with an embedded SQLite store, built from its Go module.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
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
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// What it would log it writes down before it asks whether it may, each statement with its documents.
type silent struct{}

func (silent) Enabled(context.Context, slog.Level) bool   { return false }
func (silent) Handle(context.Context, slog.Record) error  { return nil }
func (it silent) WithAttrs([]slog.Attr) slog.Handler      { return it }
func (it silent) WithGroup(string) slog.Handler           { return it }

func main() {
	address, folder := os.Args[1], os.Args[2]
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: address},
		Logger:    slog.New(silent{}),
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

/// Where the SQLite store says how it asks for an `_id`, how it says it, and how its own index over
/// `_id` does: SQLite uses an index over an expression only for the very same expression, so that
/// as it comes, a look-up by `_id` reads the whole collection.
const ASKS_FOR_ID: (&str, &str, &str) = (
    "internal/backends/sqlite/metadata/metadata.go",
    r#"DefaultColumn + "->'$._id'""#,
    r#"DefaultColumn + `->"_id"`"#,
);

/// The server's program, built once for the user.
pub(super) fn program() -> Result<PathBuf> {
    let folder = toolchain::cached(&format!("ferretdb-{VERSION}-r4"), |folder| {
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
        run(&["mod", "vendor"])?;
        mend(&folder.join("vendor/github.com/FerretDB/FerretDB"))?;
        run(&["build", "-o", "ferretdb", "."])?;
        Ok(())
    })?;
    Ok(folder.join("ferretdb"))
}

/// Makes look-ups by `_id` use the index, see [`ASKS_FOR_ID`].
fn mend(ferretdb: &Path) -> Result<()> {
    let (file, asks, index) = ASKS_FOR_ID;
    let path = ferretdb.join(file);
    let source = fs::read_to_string(&path).context("could not read FerretDB's source")?;
    ensure!(source.contains(asks), "{file} does not say {asks}");
    fs::write(path, source.replace(asks, index)).context("could not mend FerretDB's source")
}

pub(super) fn launch(program: &Path, folder: &Path, port: u16) -> Result<ServerProcess> {
    let data = folder.join("data");
    fs::create_dir_all(&data).context("could not create FerretDB's data folder")?;
    let mut command = Command::new(program);
    command
        .arg(format!("127.0.0.1:{port}"))
        .arg(&data)
        // a third of its time would go into collecting garbage, most of a test's time is its own
        .envs([("GOGC", "400"), ("GOMEMLIMIT", "2GiB")])
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
