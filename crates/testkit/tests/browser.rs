//! The browser of the testkit, with a page of the test's own.

use factmill_testkit::Browser;
use serde_json::json;

/// A page that counts clicks, tells its colour scheme and complains once.
const PAGE: &str = "data:text/html,<title>t</title><button onclick='this.n=(this.n||0)%2B1;\
                    this.textContent=this.n'>0</button><script>console.warn('ouch')</script>";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_opened_used_looked_at_and_its_complaints_are_heard() {
    let browser = Browser::start().await.unwrap();
    browser.shape(360, 640, "dark").await.unwrap();
    browser.open(PAGE).await.unwrap();
    let seen =
        "return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches, arguments[0]]";
    assert_eq!(
        browser.run(seen, &["x"]).await.unwrap(),
        json!([360, true, "x"])
    );
    browser.press("\u{e004}").await.unwrap();
    browser.press("\u{e007}").await.unwrap();
    let clicked = "return document.querySelector('button').textContent === '1'";
    assert_eq!(browser.wait_for(clicked, &[]).await.unwrap(), json!(true));
    let complaints = browser.complaints().await.unwrap();
    assert!(
        complaints.len() == 1 && complaints[0].contains("ouch"),
        "{complaints:?}"
    );
    assert!(browser.screenshot().await.unwrap().starts_with(b"\x89PNG"));
    let thrown = browser.run("throw new Error('no such thing')", &[]).await;
    assert!(thrown.unwrap_err().to_string().contains("no such thing"));
}
