//! Tells the binary which commit it was built from, where git is there to ask.

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success()).then(|| text.trim().to_owned())
}

fn main() {
    println!("cargo::rerun-if-env-changed=FACTMILL_GIT_HASH");
    let hash = std::env::var("FACTMILL_GIT_HASH")
        .ok()
        .filter(|hash| !hash.is_empty())
        .or_else(|| git(&["rev-parse", "--short=10", "HEAD"]));
    let version = env!("CARGO_PKG_VERSION");
    match hash {
        Some(hash) => println!("cargo::rustc-env=FACTMILL_VERSION={version} ({hash})"),
        None => println!("cargo::rustc-env=FACTMILL_VERSION={version}"),
    }
    // The log of HEAD grows with each commit and checkout; HEAD itself only names the branch.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name])
            && std::path::Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}
