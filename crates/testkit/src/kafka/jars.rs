//! Kafka's jars, from Maven Central.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use factmill_provision::program;

use crate::toolchain;

const KAFKA: &str = "4.1.1";
const LOG4J: &str = "2.24.3";

/// The folder with Kafka and everything that it needs.
pub(super) fn folder() -> Result<PathBuf> {
    toolchain::cached(&format!("kafka-{KAFKA}-log4j-{LOG4J}"), |folder| {
        let maven = toolchain::maven()?;
        eprintln!("testkit: fetching Kafka {KAFKA} by Maven");
        let project = folder.join("pom.xml");
        fs::write(&project, pom()).context("could not write the Maven project")?;
        program::output(
            Command::new(maven)
                .args(["--batch-mode", "--quiet", "--file"])
                .arg(&project)
                .arg("dependency:copy-dependencies")
                .arg(format!("-DoutputDirectory={}", folder.display())),
        )?;
        Ok(())
    })
}

fn pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n\
         <modelVersion>4.0.0</modelVersion>\n\
         <groupId>factmill</groupId><artifactId>test-kafka</artifactId><version>1</version>\n\
         <dependencies>\n{}{}{}</dependencies>\n</project>\n",
        dependency("org.apache.kafka", "kafka_2.13", KAFKA),
        dependency("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J),
        dependency("org.apache.logging.log4j", "log4j-core", LOG4J),
    )
}
