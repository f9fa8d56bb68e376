//! A whole file as one Rust type.

use std::path::Path;

use factmill_core::diagnostic::{Diagnostic, Diagnostics, Location};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::node::Node;
use super::parse::parse;
use super::schema::Checker;
use super::variables::Variables;

/// A value, and the text that it came from, for diagnostics about what no schema can say.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The value.
    pub value: T,
    /// The tree that it was read from, variables resolved.
    pub node: Node,
}

impl<T> Loaded<T> {
    /// Where the value at a path of keys and list indexes stands.
    pub fn location(&self, path: &[&str]) -> Location {
        self.node.locate(path).clone()
    }

    /// Where the key at the end of a path stands.
    pub fn key_location(&self, path: &[&str]) -> Location {
        self.node.locate_key(path).clone()
    }
}

/// Reads a file into `T`.
///
/// What is accepted is what the JSON Schema of `T` says (derive it beside `Deserialize`, with
/// `deny_unknown_fields`): the text is checked against that schema first.
///
/// # Errors
/// The syntax error, or all unknown and missing keys, wrong types, values out of their set or
/// pattern, and variables that are needed and not set, at once.
pub fn load<T: DeserializeOwned + JsonSchema>(
    text: &str,
    file: &Path,
    variables: &Variables<'_>,
) -> Result<Loaded<T>, Diagnostics> {
    read_node(parse(text, file)?, variables)
}

/// Reads a parsed file, or a part of one, into `T`; see [`load`].
///
/// # Errors
/// As [`load`].
pub fn read_node<T: DeserializeOwned + JsonSchema>(
    mut node: Node,
    variables: &Variables<'_>,
) -> Result<Loaded<T>, Diagnostics> {
    let mut found = Vec::new();
    variables.substitute(&mut node, &mut found);
    let json = Checker::new::<T>(variables).check(&node, &mut found);
    Diagnostics::finish(found, ())?;
    let value = serde_path_to_error::deserialize(json).map_err(|error| refused(&node, &error))?;
    Ok(Loaded { value, node })
}

/// A value that its schema lets pass and its type refuses.
fn refused(node: &Node, error: &serde_path_to_error::Error<serde_json::Error>) -> Diagnostic {
    use serde_path_to_error::Segment;
    let path: Vec<String> = error
        .path()
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    Diagnostic::at(node.locate(&path).clone(), error.inner().to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::yaml::{ByteSize, Period};

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        /// Servers by name.
        servers: BTreeMap<String, Server>,
        limit: Option<ByteSize>,
        wait: Option<Period>,
        start: Option<Start>,
        maker: Option<Maker>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Server {
        url: String,
        #[serde(default)]
        port: u16,
        tls: Option<Tls>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Tls {
        verify: bool,
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Start {
        /// At the oldest.
        Earliest,
        /// After the newest.
        Latest,
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
    enum Maker {
        Banking,
        File { path: String },
    }

    fn environment() -> BTreeMap<String, String> {
        [
            ("HOST", "db"),
            ("PORT", "5432"),
            ("SECRET", "hunter2"),
            ("EMPTY", ""),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    fn read(text: &str) -> Result<Loaded<Settings>, Diagnostics> {
        load(text, Path::new("a.yml"), &Variables::new(&environment()))
    }

    fn refused(text: &str) -> Vec<String> {
        read(text)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn variables_become_what_the_type_wants() {
        let loaded = read(
            "servers:\n  a: { url: \"x://${HOST}/$$1?${EMPTY:-e}\", port: \"${PORT}\", tls: { verify: \"${NO:-true}\" } }\n  b:\n    url: ${PORT}\n    port: ${PORT}\nlimit: 16MiB\nwait: 20ms\nstart: latest\n",
        )
        .unwrap();
        let servers = &loaded.value.servers;
        assert_eq!(servers["a"].url, "x://db/$1?e");
        assert_eq!((servers["a"].port, servers["b"].port), (5432, 5432));
        assert_eq!(
            servers["b"].url, "5432",
            "a number in a variable is text where text is wanted"
        );
        assert!(servers["a"].tls.as_ref().unwrap().verify);
        assert_eq!(loaded.value.start, Some(Start::Latest));
        assert_eq!(loaded.value.limit.unwrap().bytes(), 16 << 20);
        assert_eq!(loaded.value.wait.unwrap().duration().as_millis(), 20);
        assert_eq!(
            loaded.key_location(&["servers", "b", "port"]).to_string(),
            "a.yml:5:5"
        );
    }

    #[test]
    fn everything_wrong_is_shown_at_once_with_its_place() {
        let found = refused(
            "servers:\n  é:\n    ulr: x\n    port: many\n  b: { url: 5, port: 70000, tls: yes }\nlimmit: 3\nlimit: much\nwait: 30\nstart: earlyest\nmaker: { kind: file }\n",
        );
        assert_eq!(
            found,
            [
                "a.yml:3:5: unknown key `ulr` in `servers.é`\n  help: did you mean `url`?",
                "a.yml:3:5: missing key `url` in `servers.é`",
                "a.yml:4:11: expected a whole number for `servers.é.port`, found the text `many`",
                "a.yml:5:13: expected text for `servers.b.url`, found the number `5`\n  help: put it in quotes to make it text",
                "a.yml:5:22: `servers.b.port` has to be at most 65535, found the number `70000`",
                "a.yml:5:34: expected a map for `servers.b.tls`, found the text `yes`",
                "a.yml:6:1: unknown key `limmit`\n  help: did you mean `limit`?",
                "a.yml:7:8: expected a size such as `16MiB` or `64kB` for `limit`, found the text `much`",
                "a.yml:8:7: expected a period such as `20ms` or `30s` for `wait`, found the number `30`",
                "a.yml:9:8: `start` cannot be `earlyest`\n  help: did you mean `earliest`? known values: earliest, latest",
                "a.yml:10:8: missing key `path` in `maker`",
            ]
        );
    }

    #[test]
    fn a_variable_that_is_not_set_is_found_where_it_stands() {
        let found = refused(
            "servers:\n  a: { url: \"é${HOTS}\" }\n  b: { url: \"${}\" }\n  c: { url: \"${HOST\" }\n",
        );
        assert_eq!(
            found,
            [
                "a.yml:2:14: variable `HOTS` is not set\n  help: did you mean `HOST`? Otherwise set it, or write a default: `${HOTS:-…}`",
                "a.yml:3:13: `` is not the name of a variable\n  help: letters, digits and `_`; write `$$` for a dollar sign",
                "a.yml:4:13: `${` without a closing `}`\n  help: write `$$` for a dollar sign",
            ]
        );
    }

    #[test]
    fn the_value_of_a_variable_is_never_printed() {
        let found = refused(
            "servers: { a: { url: x, port: \"${SECRET}\" } }\nstart: ${SECRET}\nlimit: ${SECRET}\n",
        );
        assert_eq!(found.len(), 3);
        assert!(
            found.iter().all(|text| !text.contains("hunter2")),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_not_needed_is_checked_and_left_out() {
        let environment = environment();
        let only_a = |path: &[&str]| !matches!(path, ["servers", name] if *name != "a");
        let variables = Variables::new(&environment).where_needed(&only_a);
        let text =
            "servers:\n  a: { url: x }\n  b: { url: \"${NOT_SET}\", port: \"${NOT_SET}\" }\n";
        let loaded = load::<Settings>(text, Path::new("a.yml"), &variables).unwrap();
        assert_eq!(loaded.value.servers.keys().collect::<Vec<_>>(), ["a"]);
        let text = "servers:\n  a: { url: x }\n  b: { ulr: \"${NOT_SET}\" }\n";
        assert!(load::<Settings>(text, Path::new("a.yml"), &variables).is_err());
    }

    #[test]
    fn a_tagged_enum_is_read_by_its_tag() {
        let maker = |text: &str| {
            read(&format!("servers: {{}}\nmaker: {text}\n"))
                .map(|loaded| loaded.value.maker.unwrap())
        };
        assert_eq!(maker("{ kind: banking }").unwrap(), Maker::Banking);
        assert_eq!(
            maker("{ kind: file, path: p }").unwrap(),
            Maker::File { path: "p".into() }
        );
        assert!(
            maker("{ kind: bankng }")
                .unwrap_err()
                .to_string()
                .contains("did you mean `banking`?")
        );
        assert!(
            maker("{ kind: banking, path: p }")
                .unwrap_err()
                .to_string()
                .contains("unknown key `path`")
        );
    }
}
