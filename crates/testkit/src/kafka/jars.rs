//! Kafka's jars, from Maven Central.

use std::path::PathBuf;

use anyhow::Result;

use crate::toolchain::{self, Artifact};

const KAFKA: &str = "4.1.1";
const LOG4J: &str = "2.24.3";

/// The folder with Kafka and everything that it needs.
pub(super) fn folder() -> Result<PathBuf> {
    toolchain::cached(&format!("kafka-{KAFKA}-log4j-{LOG4J}"), |folder| {
        eprintln!("testkit: fetching Kafka {KAFKA} by Maven");
        let log4j = |name| Artifact {
            group: "org.apache.logging.log4j",
            name,
            version: LOG4J,
        };
        let kafka = Artifact {
            group: "org.apache.kafka",
            name: "kafka_2.13",
            version: KAFKA,
        };
        let artifacts = [kafka, log4j("log4j-slf4j-impl"), log4j("log4j-core")];
        toolchain::copy(&artifacts, folder)
    })
}
