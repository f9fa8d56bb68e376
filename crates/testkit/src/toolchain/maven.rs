//! Artifacts from Maven Central, by Maven's `mvn`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use factmill_provision::packages::SystemPackage;
use factmill_provision::program;

const MAVEN: SystemPackage = SystemPackage {
    what: "Maven",
    apt: &["maven"],
    brew: &["maven"],
};

/// An artifact as Maven names it.
pub(crate) struct Artifact<'a> {
    pub(crate) group: &'a str,
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
}

/// Copies artifacts and all that they need into a folder.
pub(crate) fn copy(artifacts: &[Artifact<'_>], folder: &Path) -> Result<()> {
    let dependencies = artifacts.iter().map(|artifact| {
        let Artifact {
            group,
            name,
            version,
        } = artifact;
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    });
    let text = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n\
         <modelVersion>4.0.0</modelVersion>\n\
         <groupId>factmill</groupId><artifactId>test-servers</artifactId><version>1</version>\n\
         <dependencies>\n{}</dependencies>\n</project>\n",
        dependencies.collect::<String>()
    );
    fs::write(folder.join("pom.xml"), text).context("could not write the Maven project")?;
    run("dependency:copy-dependencies", &[], folder)
}

/// Unpacks an archive, `kind` and `classifier` as Maven calls them, into a folder, and nothing that it
/// would need.
pub(crate) fn unpack(
    artifact: &Artifact<'_>,
    kind: &str,
    classifier: &str,
    folder: &Path,
) -> Result<()> {
    let Artifact {
        group,
        name,
        version,
    } = artifact;
    let artifact = format!("-Dartifact={group}:{name}:{version}:{kind}:{classifier}");
    run("dependency:unpack", &[artifact], folder)
}

/// Runs a goal in the folder, which takes what comes of it.
fn run(goal: &str, arguments: &[String], folder: &Path) -> Result<()> {
    let maven = super::ensure("mvn", &MAVEN)?;
    program::output(
        Command::new(maven)
            .args(["--batch-mode", "--quiet", goal])
            .args(arguments)
            .arg(format!("-DoutputDirectory={}", folder.display()))
            .current_dir(folder),
    )?;
    Ok(())
}
