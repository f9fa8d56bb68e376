//! What is said about a project that is wrong.

use crate::folder::Folder;

/// A job that is right, for projects whose mistakes lie elsewhere.
const JOB: &str = "sources: { crm.events: { kafka: { topic: t } } }\nmodels: [a]\n";

#[test]
fn every_mistake_of_a_model_is_shown_at_once_with_its_place() {
    let folder = Folder::new()
        .with("models/stg_events.sql", "select 1")
        .with(
            "models/é.sql",
            "select 'ü', {{ var('limit') }}\nfrom {{ ref('stg_event') }}\njoin {{ source('crm', 'evnts') }} using (id)\n  where {{ cents('x') }} and {{ ref('é') }} {{ ref('nothing_like_it_at_all') }}\n",
        )
        .with("sql/cents_to.sql", "");
    assert_eq!(
        folder.refused(),
        [
            "models/é.sql:1:16: variable `limit` has no value\n  help: there are no variables; set it under `vars:` in dbt_project.yml, with --vars, or give a default: `var('limit', …)`",
            "models/é.sql:2:9: no model or seed `stg_event`\n  help: did you mean `stg_events`?",
            "models/é.sql:3:9: no source `crm.evnts`\n  help: did you mean `crm.events`?",
            "models/é.sql:4:12: no macro or function `cents`\n  help: known macros: ref, source, config, var, env_var, is_incremental, log",
            "models/é.sql:4:48: no model or seed `nothing_like_it_at_all`\n  help: known models and seeds: stg_events, é",
        ]
    );
}

#[test]
fn mistakes_of_all_files_come_together_in_order_of_file() {
    let folder = Folder::new()
        .with("dbt_project.yml", "name: shop\nmodel-path: [models]\nmodels:\n  shop:\n    +materialised: table\n")
        .with(
            "models/a.yml",
            "models:\n  - name: a\n    colums: []\n    columns:\n      - name: x\n        data_type: bigimt\n      - name: x\n      - data_type: text\n  - name: b\n",
        )
        .with("models/c.yml", "models: {}\n")
        .with("models/a.sql", "select 1 as x");
    assert_eq!(
        folder.refused(),
        [
            "dbt_project.yml:2:1: unknown key `model-path` in a dbt project\n  help: did you mean `model-paths`?",
            "models/a.yml:3:5: unknown key `colums` in a model\n  help: did you mean `columns`?",
            "models/a.yml:6:20: unknown type `bigimt`; did you mean `bigint`?",
            "models/a.yml:7:15: column `x` is described twice, first on line 5",
            "models/a.yml:8:9: missing key `name` in a column",
            "models/c.yml:1:9: expected a list for `models`, found a map",
        ]
    );
}

#[test]
fn yaml_about_what_is_not_there_and_settings_that_are_not_settings() {
    let folder = Folder::new()
        .with("dbt_project.yml", "name: shop\nmodels:\n  shop:\n    +materialised: table\n")
        .with(
            "models/a.yml",
            "models:\n  - name: aa\n  - name: b\n    config: { materialized: tabel, tags: [{}], meta: { factmill: { rebuild_evry: 5s, maintenance: upsrt } } }\n    data_tests: [uniqe]\n    columns:\n      - name: x\n        data_tests: [{ relationships: { arguments: { to: ref('bb'), field: x } } }]\n",
        )
        .with("models/a.sql", "select 1 as x")
        .with("models/b.sql", "{{ config(unique_keys='x') }} select 1 as x");
    assert_eq!(
        folder.refused(),
        [
            "dbt_project.yml:4:5: unknown configuration `materialised`\n  help: did you mean `materialized`?",
            "models/a.yml:2:11: no model `aa`\n  help: did you mean `a`?",
            "models/a.yml:4:29: no materialization `tabel`\n  help: did you mean `table`? known materializations: view, table, incremental, ephemeral",
            "models/a.yml:4:43: expected text for `tags`, found a map",
            "models/a.yml:4:68: unknown key `rebuild_evry`\n  help: did you mean `rebuild_every`?",
            "models/a.yml:4:99: `maintenance` cannot be `upsrt`\n  help: did you mean `upsert`? known values: append, upsert, aggregate, recompute, rebuild",
            "models/a.yml:5:18: no test `uniqe`\n  help: did you mean `unique`?",
            "models/a.yml:8:22: no model or seed `bb`\n  help: did you mean `b`?",
            "models/b.sql:1:4: unknown configuration `unique_keys`\n  help: did you mean `unique_key`?",
        ]
    );
}

#[test]
fn a_circle_is_printed_as_the_circle() {
    let folder = Folder::new()
        .with("models/one.sql", "select * from {{ ref('two') }}")
        .with("models/two.sql", "select * from {{ ref('three') }}")
        .with("models/three.sql", "select * from {{ ref('one') }}")
        .with("models/self.sql", "select * from {{ ref('self') }}")
        .with("models/reader.sql", "select * from {{ ref('one') }}")
        .with("jobs/j.yml", JOB);
    assert_eq!(
        folder.refused(),
        [
            "models/one.sql:1:1: models read each other in a circle: one -> two -> three -> one\n  help: take one of these refs out",
            "models/self.sql:1:1: models read each other in a circle: self -> self\n  help: take one of these refs out",
        ]
    );
}

#[test]
fn a_name_stands_once() {
    let folder = Folder::new()
        .with("models/x/a.sql", "select 1")
        .with("models/y/a.sql", "select 1")
        .with("models/b.sql", "{{ config(alias='same') }} select 1")
        .with("models/c.sql", "{{ config(alias='same') }} select 1")
        .with("seeds/b.csv", "x\n1\n")
        .with("models/two.yml", "sources:\n  - name: crm\n    tables: [{ name: events }]\nmodels: [{ name: a }, { name: a }]\n");
    assert_eq!(
        folder.refused(),
        [
            "models/two.yml:3:22: source `crm.events` is declared twice, first at models/_sources.yml:4:15",
            "models/two.yml:4:31: model `a` is described twice, first at models/two.yml:4:18",
        ]
    );
    let folder = folder.with("models/two.yml", "");
    assert_eq!(
        folder.refused(),
        [
            "models/b.sql:1:1: model `b` has the name of the seed seeds/b.csv",
            "models/c.sql:1:1: model `c` lands in public.same, as model `b` does\n  help: give one of them another `alias` or `schema`",
            "models/y/a.sql:1:1: model `a` stands twice, first in models/x/a.sql\n  help: a model name stands once in a project: name the file `<job>__a.sql` and set `alias: a`",
        ]
    );
}

#[test]
fn hostile_names_are_quoted_or_refused() {
    let folder = Folder::new()
        .with("models/a\"; drop table x; --.sql", "select 1 as \"ü\"")
        .with(
            "models/reads.sql",
            "select * from {{ ref('a\"; drop table x; --') }}",
        );
    let project = folder.load();
    assert_eq!(
        project.model("reads").unwrap().sql.text(),
        r#"select * from "public"."a""; drop table x; --""#
    );

    let long = "é".repeat(32);
    let folder = Folder::new()
        .with("models/a.sql", "{{ config(alias='') }} select 1")
        .with("models/b.sql", &format!("{{{{ config(alias='{long}') }}}} select 1"))
        .with("models/c.sql", "{{ config(schema='pg_catalog') }} select 1")
        .with("macros/m.sql", "{% macro generate_schema_name(custom, node) %}{{ custom or 'factmill' }}{% endmacro %}");
    assert_eq!(
        folder.refused(),
        [
            "models/a.sql:1:1: schema `factmill` belongs to factmill itself\n  help: choose another name".to_owned(),
            "models/a.sql:1:4: the name of a table cannot be empty".to_owned(),
            "models/b.sql:1:1: schema `factmill` belongs to factmill itself\n  help: choose another name".to_owned(),
            format!("models/b.sql:1:4: table `{long}` has 64 bytes, and Postgres takes 63\n  help: give it a shorter name or `alias`"),
            "models/c.sql:1:4: schema `pg_catalog` belongs to Postgres itself\n  help: choose another name".to_owned(),
        ]
    );
}

#[test]
fn a_contract_that_cannot_hold() {
    let folder = Folder::new().with(
        "models/_sources.yml",
        "sources:\n  - name: crm\n    tables:\n      - name: events\n        config: { meta: { factmill: { event_time: att, time_zone: Europe/Pari } } }\n        columns:\n          - { name: id, data_type: text, config: { meta: { factmill: { not_nul: true } } } }\n          - { name: at, data_type: \"struct(a text, b)\" }\n          - { name: key, data_type: bytea, config: { meta: { factmill: { from: kafka.ky } } } }\n          - { name: city, data_type: text, config: { meta: { factmill: { from: customer..city } } } }\n          - { name: _factmill_x, data_type: text }\n          - { name: id, data_type: text }\n      - name: more\n        meta: { factmill: { event_time: n } }\n        columns: [{ name: n, data_type: bigint }]\n",
    );
    assert_eq!(
        folder.refused(),
        [
            "models/_sources.yml:5:51: event time `att` is not a column with a data_type here\n  help: known columns: id, key, city, _factmill_x",
            "models/_sources.yml:5:67: no time zone `Europe/Pari`\n  help: did you mean `Europe/Paris`?",
            "models/_sources.yml:7:72: unknown key `not_nul`\n  help: did you mean `not_null`?",
            "models/_sources.yml:8:36: expected a type at character 17 of type `struct(a text, b)`",
            "models/_sources.yml:9:80: a Kafka record has no `ky`\n  help: did you mean `key`?",
            "models/_sources.yml:10:80: `customer..city` is not a path into the payload\n  help: names joined by dots: `customer.city`",
            "models/_sources.yml:11:21: column `_factmill_x` has the prefix of factmill's own columns, `_factmill_`",
            "models/_sources.yml:12:21: column `id` is declared twice",
            "models/_sources.yml:14:41: event time `n` is `bigint`, and has to be timestamp or timestamptz",
        ]
    );
}

#[test]
fn seeds_have_a_header_that_their_yaml_knows() {
    let folder = Folder::new()
        .with("seeds/empty.csv", "")
        .with("seeds/twice.csv", "a,b,a,\n1,2,3,4\n")
        .with("seeds/typed.csv", "\u{feff}day;name\n2024-01-01;x\n")
        .with(
            "seeds/typed.yml",
            "seeds:\n  - name: typed\n    config: { delimiter: ';', column_types: { dya: date, name: texxt } }\n  - { name: other }\n",
        );
    assert_eq!(
        folder.refused(),
        [
            "seeds/empty.csv:1:1: expected a header with the names of the columns, found an empty file",
            "seeds/twice.csv:1:1: column `a` stands twice in the header",
            "seeds/twice.csv:1:1: column 4 has no name in the header",
            "seeds/typed.yml:3:47: the header has no column `dya`\n  help: did you mean `day`?",
            "seeds/typed.yml:3:64: unknown type `texxt`; did you mean `text`?",
            "seeds/typed.yml:4:13: no seed `other`\n  help: known seeds: twice, typed",
        ]
    );
}

#[test]
fn files_that_cannot_be_read() {
    let folder = Folder::new()
        .with("models/a.yml", "models: [\n")
        .with("models/c.yml", "a: 1\na: 2\n");
    std::fs::write(folder.path().join("models/b.sql"), b"select '\xff'").unwrap();
    let found = folder.refused();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("models/a.yml:2:1: not YAML: "),
        "{}",
        found[0]
    );
    assert_eq!(found[1], "models/b.sql:1:1: not UTF-8 text at byte 8");
    assert_eq!(
        found[2],
        "models/c.yml:2:1: key `a` comes twice, first on line 1"
    );
}

#[test]
fn a_folder_without_a_project_says_so() {
    let empty = tempfile::TempDir::new().unwrap();
    let error =
        factmill_project::Project::load(empty.path(), &factmill_project::LoadOptions::default());
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with("no dbt_project.yml in ") && text.contains("--project-dir"),
        "{text}"
    );
}

#[test]
fn what_dbt_may_know_one_day_is_a_warning() {
    let folder = Folder::new()
        .with("dbt_project.yml", "name: shop\nbrand-new-feature: 1\nmodels:\n  shop:\n    stagin: { +materialized: table }\n  other: {}\n")
        .with("models/staging/a.sql", "select 1");
    let warnings: Vec<String> = folder
        .load()
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        warnings,
        [
            "dbt_project.yml:2:1: unknown key `brand-new-feature` in a dbt project\n  help: it is ignored; what is yours goes under `config.meta`",
            "dbt_project.yml:5:5: nothing lies in `stagin`, so this has no effect\n  help: did you mean `staging`?",
            "dbt_project.yml:6:3: no project or package `other`\n  help: known projects: shop",
        ]
    );
}
