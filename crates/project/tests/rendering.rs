//! dbt's Jinja, and the way back from its output.

use factmill_project::{Materialized, Project};
use proptest::prelude::*;
use serde_json::json;

use crate::folder::Folder;

fn sql(project: &Project, model: &str) -> String {
    project.model(model).unwrap().sql.text().trim().to_owned()
}

/// Where a piece of the rendered SQL comes from.
fn origin(project: &Project, model: &str, piece: &str) -> String {
    let sql = &project.model(model).unwrap().sql;
    let before = &sql.text()[..sql.text().find(piece).unwrap()];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    sql.locate(line, column).to_string()
}

#[test]
fn functions_give_what_dbt_gives() {
    let mut folder = Folder::new()
        .with("dbt_project.yml", "name: shop\nvars:\n  limit: 5\n  shop: { rate: 1.5, on: true }\n")
        .with("macros/a.sql", "{% macro double(x) %}{{ twice(x) }}{% endmacro %}\n{% test odd(model) %}{% if %}{% endtest %}")
        .with("macros/b.sql", "{% macro twice(x, by=2) -%} ({{ x }} * {{ by }}) {%- endmacro %}")
        .with("models/a.sql", "{{ config(materialized='table', schema='s', meta={'factmill': {'rebuild_every': '5m'}}) }}select 1")
        .with(
            "models/b.sql",
            "select {{ double('x') }}, {{ var('limit') }}, {{ var('rate') }}, {{ var('none', 'd') }}, {{ var('on') }}, '{{ env_var('WHO') }}', '{{ target.schema }}' from {{ ref('a') }} {% if is_incremental() %}where at > (select max(at) from {{ this }}){% endif %} {{ ref('a').schema }} {{ source('crm', 'events') }} {{ twice('y', by=3) }}",
        );
    folder.options.environment.insert("WHO".into(), "me".into());
    folder.options.vars.insert("limit".into(), json!(7));
    let project = folder.load();
    assert_eq!(
        sql(&project, "b"),
        r#"select (x * 2), 7, 1.5, d, True, 'me', 'public' from "public_s"."a"  public_s "lake"."crm"."events" (y * 3)"#
    );
    let a = project.model("a").unwrap();
    assert_eq!(a.materialized, Materialized::Table);
    assert_eq!(
        a.factmill.rebuild_every,
        Some(std::time::Duration::from_secs(300))
    );
}

#[test]
fn configuration_comes_from_the_tree_then_yaml_then_the_file() {
    let project = Folder::new()
        .with(
            "dbt_project.yml",
            "name: shop\nmodels:\n  +materialized: table\n  shop:\n    x:\n      +tags: tree\n      +schema: of_tree\n      materialized: incremental\n      +meta: { owner: a, factmill: { maintenance: append } }\n",
        )
        .with(
            "models/x/a.yml",
            "models: [{ name: a, config: { tags: [yaml, tree], unique_key: [k, l], materialized: \"{{ 'epheme' ~ 'ral' }}\", alias: '{{ target.name }}_a' } }]",
        )
        .with("models/x/a.sql", "{{ config(tags='file', schema='of_file') }} select 1")
        .with("models/x/b.sql", "select 1")
        .with("models/c.sql", "select 1")
        .with("models/off.sql", "{{ config(enabled=false) }} select 1")
        .with("macros/g.sql", "{% macro generate_schema_name(custom_schema_name, node) %}{{ custom_schema_name or node.name }}{% endmacro %}")
        .load();
    let a = project.model("a").unwrap();
    assert_eq!(a.relation.to_string(), "of_file.dev_a");
    assert_eq!(
        (a.materialized, a.unique_key.join(",")),
        (Materialized::Ephemeral, "k,l".into())
    );
    assert_eq!(a.tags, ["file", "tree", "yaml"]);
    assert_eq!(a.factmill.maintenance.unwrap().as_str(), "append");
    let b = project.model("b").unwrap();
    assert_eq!(
        (b.relation.to_string(), b.materialized),
        ("of_tree.b".into(), Materialized::Incremental)
    );
    let c = project.model("c").unwrap();
    assert_eq!(
        (c.relation.to_string(), c.materialized),
        ("c.c".into(), Materialized::Table)
    );
    assert!(project.model("off").is_none());
}

#[test]
fn every_place_of_the_sql_leads_back_to_its_file() {
    let project = Folder::new()
        .with("macros/m.sql", "{% macro m(x) -%}\n    coalesce(é_{{ x }},\n        'müll')\n{%- endmacro %}\n")
        .with(
            "models/a.sql",
            "{{ config(materialized='view') -}}\n\nselect\n  {% for c in ['x', 'y'] -%}\n    \"ü\" + {{ c }} as {{ c }}_sum,\n  {% endfor %}\n  {{ m('z') }}\nfrom {{ source('crm',\n 'events') }} where broken\n",
        )
        .load();
    for (piece, place) in [
        ("select", "models/a.sql:3:1"),
        ("\"ü\" + x", "models/a.sql:5:5"),
        ("+ x as", "models/a.sql:5:9"),
        ("x as x", "models/a.sql:5:11"),
        ("as y_sum", "models/a.sql:5:19"),
        ("y_sum", "models/a.sql:5:22"),
        ("coalesce", "macros/m.sql:2:5"),
        ("é_z", "macros/m.sql:2:14"),
        ("z,", "macros/m.sql:2:16"),
        ("'müll'", "macros/m.sql:3:9"),
        ("from", "models/a.sql:8:1"),
        (r#""lake""#, "models/a.sql:8:6"),
        (r#""events""#, "models/a.sql:8:6"),
        ("broken", "models/a.sql:9:21"),
    ] {
        assert_eq!(origin(&project, "a", piece), place, "{piece}");
    }
    let end = project.model("a").unwrap().sql.locate(999, 999).to_string();
    assert_eq!(end, "models/a.sql:9:27");
}

#[test]
fn a_template_that_looks_at_its_own_text_still_renders_as_written() {
    let project = Folder::new()
        .with(
            "models/a.sql",
            "{% set t %}abc{% endset %}select {{ t | length }}, {% filter upper %}x{% endfilter %}",
        )
        .load();
    assert_eq!(sql(&project, "a"), "select 3, X");
    assert_eq!(
        project
            .model("a")
            .unwrap()
            .sql
            .locate(1, 8)
            .file
            .display()
            .to_string(),
        "models/a.sql"
    );
}

#[test]
fn mistakes_in_templates_are_placed_in_the_file_that_has_them() {
    let folder = Folder::new()
        .with("macros/bad.sql", "{% macro bad(x) %}\n  {{ x.y.z }}{% endmacro %}{% macro again(n) %}{{ and_again(n) }}{% endmacro %}")
        .with("macros/second.sql", "{% macro bad() %}{% endmacro %}{% macro and_again(n) %}{{ again(n) }}{% endmacro %}")
        .with("macros/open.sql", "\n{% macro never_ends() %}")
        .with("models/a.sql", "select {{ never_set }}")
        .with("models/b.sql", "select\n  {{ bad(1) }}")
        .with("models/c.sql", "select {% if %}")
        .with("models/d.sql", "{{ exceptions.raise_compiler_error('é is wrong') }}")
        .with("models/e.sql", "{{ again(1) }}")
        .with("models/f.sql", "{{ ref(1) }}")
        .with("models/g.sql", "{{ ref('other', 'a') }}");
    let found = folder.refused();
    let starts = [
        "macros/bad.sql:2:7: `x.y` is undefined",
        "macros/open.sql:2:",
        "macros/second.sql:1:1: macro `bad` is defined twice, first in macros/bad.sql",
        "macros/second.sql:1:59: macros call each other 64 levels deep, the last one is `again`",
        "models/a.sql:1:11: ",
        "models/c.sql:1:",
        "models/d.sql:1:14: é is wrong",
        "models/f.sql:1:4: ref() takes names as text, found number",
        "models/g.sql:1:4: no package `other`\n  help: this project is `shop`",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found} starts with {start}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Words among tags, line ends and letters of more than one byte: each is found where it stands.
    #[test]
    fn every_verbatim_word_leads_back_to_itself(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just(None),
                prop::sample::select(vec![
                    " ", "\n", "  \n\t", "é", "{{ var('v') }}", "{{- var('v') -}}", "{# {{ no }} #}", "{%- set a = 1 -%}",
                    "{% raw %}{{ x }}{% endraw %}", "{% if true %}ü{% endif %}", "{", "}}", "'",
                ]).prop_map(Some),
            ],
            1..40,
        )
    ) {
        let mut template = String::new();
        let mut words = Vec::new();
        for (index, piece) in pieces.into_iter().enumerate() {
            match piece {
                Some(piece) if !(template.ends_with('{') && piece.starts_with('{')) => template.push_str(piece),
                Some(_) => {}
                None => {
                    words.push(format!("w{index};"));
                    template.push_str(&words[words.len() - 1]);
                }
            }
        }
        let mut folder = Folder::new().with("models/a.sql", &template);
        folder.options.vars.insert("v".into(), json!("printed\nö"));
        let project = folder.load();
        for word in &words {
            let before = &template[..template.find(word.as_str()).unwrap()];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
            prop_assert_eq!(origin(&project, "a", word), format!("models/a.sql:{line}:{column}"));
        }
    }
}
