//! The files of the page, all within the binary.

use axum::Router;
use axum::http::{HeaderName, header};
use axum::routing::get;

/// Path, content type and content of each file.
const FILES: [(&str, &str, &str); 8] = [
    ("/", HTML, include_str!("../../web/index.html")),
    (
        "/assets/style.css",
        CSS,
        include_str!("../../web/style.css"),
    ),
    ("/assets/icon.svg", SVG, include_str!("../../web/icon.svg")),
    ("/assets/app.js", SCRIPT, include_str!("../../web/app.js")),
    ("/assets/card.js", SCRIPT, include_str!("../../web/card.js")),
    ("/assets/live.js", SCRIPT, include_str!("../../web/live.js")),
    (
        "/assets/history.js",
        SCRIPT,
        include_str!("../../web/history.js"),
    ),
    (
        "/assets/chart.umd.min.js",
        SCRIPT,
        include_str!("../../web/vendor/chart.umd.min.js"),
    ),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A newer binary may bring other files under the same names.
const ALWAYS_ASK: (HeaderName, &str) = (header::CACHE_CONTROL, "no-cache");

pub(super) fn routes() -> Router {
    FILES
        .iter()
        .fold(Router::new(), |routes, (path, kind, text)| {
            routes.route(
                path,
                get(async move || ([(header::CONTENT_TYPE, *kind), ALWAYS_ASK], *text)),
            )
        })
}
