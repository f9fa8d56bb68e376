//! A terminal as a picture: lines of text in a window, SVG.

use std::fmt::Write as _;

/// Sizes in CSS pixels.
const CHARACTER: f64 = 7.9;
const LINE: f64 = 18.0;
const MARGIN: f64 = 18.0;
const BAR: f64 = 30.0;

/// A picture of what a terminal shows. A line that begins with `$ ` is what was typed.
pub(crate) fn terminal(title: &str, lines: &[String]) -> String {
    let longest = lines.iter().map(|line| line.chars().count()).max();
    let width = longest.unwrap_or(0) as f64 * CHARACTER + 2.0 * MARGIN;
    let height = lines.len() as f64 * LINE + BAR + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"{0}\">\n{STYLE}\n\
         <rect class=\"window\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"21\">{0}</text>\n",
        escaped(title)
    );
    for (row, line) in lines.iter().enumerate() {
        let y = BAR + MARGIN + (row as f64 + 0.7) * LINE;
        let class = match line.starts_with("$ ") {
            true => " class=\"typed\"",
            false => "",
        };
        // writing into memory does not fail
        let _ = writeln!(
            svg,
            "<text{class} x=\"{MARGIN}\" y=\"{y:.1}\">{}</text>",
            escaped(line)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Text as XML has it.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const STYLE: &str = "\
<style>
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#e6edf3;white-space:pre}
.window{fill:#161b22}
.title{fill:#8b949e}
.typed{fill:#7ee787}
</style>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let svg = terminal("a & b", &["$ select 1 < 2".into(), "true".into()]);
        assert!(svg.contains("a &amp; b"), "{svg}");
        assert!(
            svg.contains("class=\"typed\" x=\"18\" y=\"60.6\">$ select 1 &lt; 2<"),
            "{svg}"
        );
    }
}
