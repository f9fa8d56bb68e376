//! The pieces of a template, found without compiling it: verbatim text and tags.

use std::ops::Range;

/// A piece of a template, as a range of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text that is printed as it stands.
    Text(Range<usize>),
    /// `{{ … }}`, with its braces.
    Output(Range<usize>),
    /// `{% … %}`, with its braces.
    Block(Range<usize>),
    /// `{# … #}`.
    Comment,
}

/// Splits a template. A tag that does not end takes the rest: compiling it gives the error.
pub(super) fn pieces(template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < template.len() {
        let Some(open) = next_tag(template, at) else {
            pieces.push(Piece::Text(at..template.len()));
            break;
        };
        if open > at {
            pieces.push(Piece::Text(at..open));
        }
        let end = match template.as_bytes()[open + 1] {
            b'#' => {
                pieces.push(Piece::Comment);
                template[open..]
                    .find("#}")
                    .map_or(template.len(), |end| open + end + 2)
            }
            kind => {
                let end = tag_end(template, open + 2, if kind == b'{' { "}}" } else { "%}" });
                pieces.push(if kind == b'{' {
                    Piece::Output(open..end)
                } else {
                    Piece::Block(open..end)
                });
                end
            }
        };
        at = end;
        if matches!(pieces.last(), Some(Piece::Block(block)) if keyword(&template[block.clone()]) == "raw")
        {
            let raw_end = raw_end(template, at);
            if raw_end > at {
                pieces.push(Piece::Text(at..raw_end));
            }
            at = raw_end;
        }
    }
    pieces
}

fn next_tag(template: &str, from: usize) -> Option<usize> {
    let bytes = template.as_bytes();
    (from..bytes.len().saturating_sub(1))
        .find(|&at| bytes[at] == b'{' && matches!(bytes[at + 1], b'{' | b'%' | b'#'))
}

/// Behind the closing braces of a tag whose inside begins at `from`: strings are skipped, braces of
/// map literals are matched.
fn tag_end(template: &str, from: usize, close: &str) -> usize {
    let mut depth = 0usize;
    let mut quote = None;
    let mut skip = false;
    for (offset, c) in template[from..].char_indices() {
        let at = from + offset;
        match (quote, c) {
            _ if skip => skip = false,
            (Some(_), '\\') => skip = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, _) if depth == 0 && template[at..].starts_with(close) => {
                return at + close.len();
            }
            (None, '{') => depth += 1,
            (None, '}') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    template.len()
}

/// The first word of a block.
fn keyword(block: &str) -> &str {
    let inside = block
        .trim_start_matches("{%")
        .trim_start_matches(['-', '+'])
        .trim_start();
    let end = inside
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(inside.len());
    &inside[..end]
}

/// Where the `{% endraw %}` begins.
fn raw_end(template: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(open) = template[at..].find("{%").map(|open| at + open) {
        if keyword(&template[open..]) == "endraw" {
            return open;
        }
        at = open + 2;
    }
    template.len()
}

/// The byte at which a word stands in a tag, as a name of its own and outside strings.
pub(crate) fn find_word(template: &str, word: &str) -> Option<usize> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    pieces(template).into_iter().find_map(|piece| {
        let (Piece::Output(range) | Piece::Block(range)) = piece else {
            return None;
        };
        let tag = &template[range.clone()];
        let mut quote = None;
        tag.char_indices().find_map(|(at, c)| {
            match quote {
                Some(open) if open == c => quote = None,
                Some(_) => {}
                None if c == '"' || c == '\'' => quote = Some(c),
                None => {
                    let before = tag[..at].chars().next_back();
                    let after = tag[at..].strip_prefix(word).map(|rest| rest.chars().next());
                    let alone = !before.is_some_and(|c| is_name(c) || c == '.')
                        && after.is_some_and(|next| !next.is_some_and(is_name));
                    if alone {
                        return Some(range.start + at);
                    }
                }
            }
            None
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(template: &str) -> Vec<String> {
        pieces(template)
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(range) => format!("text {}", &template[range]),
                Piece::Output(range) => format!("output {}", &template[range]),
                Piece::Block(range) => format!("block {}", &template[range]),
                Piece::Comment => "comment".into(),
            })
            .collect()
    }

    #[test]
    fn text_and_tags_are_told_apart() {
        assert_eq!(
            shown("select {{ f('}}', {'a': {'b': 1}}) }} é{# {{ no }} #}{%- if x -%}y{% endif %}"),
            [
                "text select ",
                "output {{ f('}}', {'a': {'b': 1}}) }}",
                "text  é",
                "comment",
                "block {%- if x -%}",
                "text y",
                "block {% endif %}",
            ]
        );
        assert_eq!(
            shown("{% raw %}{{ a }}{%- endraw %}b"),
            [
                "block {% raw %}",
                "text {{ a }}",
                "block {%- endraw %}",
                "text b"
            ]
        );
        assert_eq!(
            shown("a {{ never ends"),
            ["text a ", "output {{ never ends"]
        );
        assert_eq!(shown("{"), ["text {"]);
    }

    #[test]
    fn a_word_is_found_only_as_a_name_in_a_tag() {
        let template = "this {{ 'this' ~ x.this ~ thisx }} é {{ this }}";
        let at = find_word(template, "this");
        assert_eq!(at.map(|at| &template[at..]), Some("this }}"));
        assert_eq!(find_word("select 'this'", "this"), None);
    }
}
