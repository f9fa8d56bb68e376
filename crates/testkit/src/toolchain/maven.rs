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
    let dependencies = artifacts.iter().map(|artifact| dependency(artifact, ""));
    run(
        "dependency:copy-dependencies",
        &dependencies.collect::<String>(),
        folder,
    )
}

/// Unpacks an archive, `type` and `classifier` as Maven calls them, into a folder; what it would need
/// is in it.
pub(crate) fn unpack(
    artifact: &Artifact<'_>,
    kind: &str,
    classifier: &str,
    folder: &Path,
) -> Result<()> {
    let alone = format!(
        "<type>{kind}</type><classifier>{classifier}</classifier><exclusions><exclusion>\
         <groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    );
    run(
        "dependency:unpack-dependencies",
        &dependency(artifact, &alone),
        folder,
    )
}

fn dependency(artifact: &Artifact<'_>, more: &str) -> String {
    let Artifact {
        group,
        name,
        version,
    } = artifact;
    format!(
        "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>\
         <version>{version}</version>{more}</dependency>\n"
    )
}

fn run(goal: &str, dependencies: &str, folder: &Path) -> Result<()> {
    let maven = super::ensure("mvn", &MAVEN)?;
    let project = folder.join("pom.xml");
    let text = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n\
         <modelVersion>4.0.0</modelVersion>\n\
         <groupId>factmill</groupId><artifactId>test-servers</artifactId><version>1</version>\n\
         <dependencies>\n{dependencies}</dependencies>\n</project>\n"
    );
    fs::write(&project, text).context("could not write the Maven project")?;
    program::output(
        Command::new(maven)
            .args(["--batch-mode", "--quiet", "--file"])
            .arg(&project)
            .arg(goal)
            .arg(format!("-DoutputDirectory={}", folder.display())),
    )?;
    Ok(())
}
