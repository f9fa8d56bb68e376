//! The page of ecommerce beside the embedded stream, in a real browser.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use factmill_testkit::{Browser, project};

use super::embedded::{factmill, interrupt};
use super::world::{Running, eventually, turn_alone};

/// What the page counts of a source: live, or from the warehouse.
const COUNTS: &str = "return Number(document.querySelector(`#${arguments[0]} .count`)\
    .textContent.replaceAll(',', '')) > Number(arguments[1])";

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_serves_it_and_names_it_at_the_start() -> Result<()> {
    let _turn = turn_alone().await;
    let project = project::shipped()?;
    let project = project.path();
    // Taken, by this test or by somebody else: then it is a free port.
    let _usual = TcpListener::bind("127.0.0.1:5173");
    let arguments = ["stream", "ecommerce", "--listen", "127.0.0.1:0"];
    let mut streaming = Running::start(factmill(project, &arguments), project.join("stream.log"))?;
    let mut named = None;
    eventually("the page to be named", async || {
        let said = streaming.said()?;
        ensure!(streaming.runs()?, "the stream ended:\n{said}");
        named = address(&said).map(str::to_owned);
        Ok(named.is_some())
    })
    .await?;
    let address = named.context("the page has an address")?;
    ensure!(!address.ends_with(":5173"), "{address} was taken");

    let browser = Browser::start().await?;
    browser.open(&address).await?;
    for source in ["generator", "third_party"] {
        let live = format!("live-{source}");
        browser.wait_for(COUNTS, &[&live, "2"]).await?;
        let kept = format!("history-{source}");
        browser.wait_for(COUNTS, &[&kept, "0"]).await?;
    }
    let complaints = browser.complaints().await?;
    ensure!(complaints.is_empty(), "{complaints:?}");
    // the browser still has the page open
    interrupt(project, streaming)
}

/// The address in the line that names the page.
fn address(said: &str) -> Option<&str> {
    said.lines()
        .find_map(|line| line.trim_start().strip_prefix("page "))
        .map(str::trim)
}
