//! Chromium and its driver.

use std::path::PathBuf;

use anyhow::Result;
use factmill_provision::packages::SystemPackage;

const CHROMIUM: SystemPackage = SystemPackage {
    what: "Chromium with its driver",
    apt: &["chromium", "chromium-driver"],
    brew: &["chromedriver"],
};

/// The `chromedriver` command, which finds its browser itself.
///
/// # Errors
/// When it is missing and cannot be installed.
pub fn chromedriver() -> Result<PathBuf> {
    super::ensure("chromedriver", &CHROMIUM)
}
