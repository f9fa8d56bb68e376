//! Holds dashboard files to Grafana's own types, by the TypeScript compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{scratch, toolchain};

/// The release of Grafana whose types these are.
pub const GRAFANA: &str = "12.2.0";
const TYPESCRIPT: &str = "5.9.2";

/// What a dashboard must be, in Grafana's types.
const SHIPPED: &str = include_str!("schema.ts");

/// Checks every dashboard of a folder: required keys, types, values of enumerations, and no key that
/// Grafana does not know, down to the options of each kind of panel.
///
/// # Errors
/// Every complaint of the compiler with file and line, or when its packages cannot be installed.
pub fn check_dashboards(folder: &Path) -> Result<()> {
    let (node, packages) = (toolchain::node()?, install()?);
    let scratch = scratch::folder("grafana-schema")?;
    let modules = scratch.path().join("node_modules");
    std::os::unix::fs::symlink(packages.join("node_modules"), &modules)?;
    fs::write(scratch.path().join("schema.ts"), SHIPPED)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let json = fs::read_to_string(&file)
            .with_context(|| format!("could not read {}", file.display()))?;
        let name = file.with_extension("json.ts");
        let name = name.file_name().context("a file has a name")?.to_owned();
        // on one line with its first brace, so that the compiler's lines are those of the file
        let source = format!(
            "import type {{ Shipped }} from './schema'; export const dashboard: Shipped = {json}"
        );
        fs::write(scratch.path().join(&name), source)?;
        files.push(name);
    }
    ensure!(!files.is_empty(), "{} holds no dashboard", folder.display());
    let checked = Command::new(node)
        .arg(modules.join("typescript/bin/tsc"))
        .args([
            "--noEmit",
            "--strict",
            "--skipLibCheck",
            "--pretty",
            "false",
        ])
        .args(["--module", "esnext", "--moduleResolution", "bundler"])
        .args(["--target", "es2022"])
        .args(files)
        .current_dir(scratch.path())
        .output()
        .context("could not start the TypeScript compiler")?;
    ensure!(
        checked.status.success(),
        "not what Grafana {GRAFANA} takes:\n{}",
        String::from_utf8_lossy(&checked.stdout)
    );
    Ok(())
}

/// The folder with the packages, installed once for the user.
pub(crate) fn install() -> Result<PathBuf> {
    toolchain::npm_packages(
        &format!("grafana-schema-{GRAFANA}-typescript-{TYPESCRIPT}"),
        &[
            format!("@grafana/schema@{GRAFANA}"),
            format!("typescript@{TYPESCRIPT}"),
        ],
    )
}
