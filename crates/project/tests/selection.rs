//! dbt's node selection.

use factmill_project::Project;

use crate::folder::Folder;

/// source → stg_events → fct_events → agg_daily; seed days → agg_daily; fct_events → dim_user.
fn project() -> Project {
    Folder::new()
        .with("dbt_project.yml", "name: shop\nmodels:\n  shop:\n    marts:\n      +materialized: table\n")
        .with("models/staging/stg_events.sql", "select * from {{ source('crm', 'events') }}")
        .with("models/marts/core/fct_events.sql", "{{ config(tags='nightly') }} select * from {{ ref('stg_events') }}")
        .with("models/marts/dim_user.sql", "select * from {{ ref('shop', 'fct_events') }}")
        .with("models/marts/agg_daily.sql", "{{ config(tags=['nightly', 'slow']) }} select * from {{ ref('fct_events') }}, {{ ref('days') }}")
        .with("seeds/days.csv", "day\n2024-01-01\n")
        .load()
}

fn selected(project: &Project, select: &[&str], exclude: &[&str]) -> String {
    let owned = |terms: &[&str]| {
        terms
            .iter()
            .map(|term| (*term).to_owned())
            .collect::<Vec<_>>()
    };
    let selection = project.select(&owned(select), &owned(exclude)).unwrap();
    let sources = selection.sources.iter().map(ToString::to_string);
    selection
        .models
        .into_iter()
        .chain(selection.seeds)
        .chain(sources)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn the_table_of_selections() {
    let project = project();
    for (select, expected) in [
        ("fct_events", "fct_events"),
        ("fct_events dim_user", "fct_events dim_user"),
        ("marts", "fct_events agg_daily dim_user"),
        ("marts.core", "fct_events"),
        ("shop.marts.core", "fct_events"),
        ("shop.marts.dim_*", "dim_user"),
        ("models/marts", "fct_events agg_daily dim_user"),
        ("path:models/marts/core/", "fct_events"),
        ("models/marts/*.sql", "fct_events agg_daily dim_user"),
        ("stg_events.sql", "stg_events"),
        ("tag:nightly", "fct_events agg_daily"),
        ("tag:nightly,tag:slow", "agg_daily"),
        ("tag:nightly,marts.core", "fct_events"),
        ("config.materialized:view", "stg_events"),
        ("source:crm", "crm.events"),
        ("source:crm.events+1", "stg_events crm.events"),
        (
            "source:crm.ev*+",
            "stg_events fct_events agg_daily dim_user crm.events",
        ),
        ("resource_type:seed", "days"),
        ("+fct_events", "stg_events fct_events crm.events"),
        ("1+fct_events", "stg_events fct_events"),
        ("fct_events+", "fct_events agg_daily dim_user"),
        ("stg_events+1", "stg_events fct_events"),
        (
            "+fct_events+",
            "stg_events fct_events agg_daily dim_user crm.events",
        ),
        ("2+agg_daily", "stg_events fct_events agg_daily days"),
        (
            "@stg_events",
            "stg_events fct_events agg_daily dim_user days crm.events",
        ),
        ("*_events", "stg_events fct_events"),
        ("dim_[a-u]ser", "dim_user"),
    ] {
        assert_eq!(selected(&project, &[select], &[]), expected, "{select}");
    }
    assert_eq!(
        selected(&project, &[], &["marts"]),
        "stg_events days crm.events"
    );
    assert_eq!(
        selected(
            &project,
            &["marts", "stg_events"],
            &["tag:slow", "dim_user"]
        ),
        "stg_events fct_events"
    );
}

#[test]
fn what_selects_nothing_is_an_error_with_the_nearest_name() {
    let project = project();
    let refused = |term: &str| {
        project
            .select(&[term.to_owned()], &[])
            .unwrap_err()
            .to_string()
    };
    for (term, expected) in [
        (
            "fct_event",
            "selection `fct_event` matches nothing\n  help: did you mean `fct_events`?",
        ),
        (
            "tag:nightl",
            "selection `nightl` matches nothing\n  help: did you mean `nightly`?",
        ),
        (
            "tagg:x",
            "no selection method `tagg`\n  help: did you mean `tag`?",
        ),
        (
            "source:crm.event",
            "selection `crm.event` matches nothing\n  help: did you mean `crm.events`?",
        ),
        (
            "config.materialized:incremental",
            "selection `incremental` matches nothing\n  help: known values: seed, table, view",
        ),
        (
            "@+x",
            "`@+x` has both `@` and `+`\n  help: `@` takes children and all that they need already",
        ),
        ("+", "selection `+` names nothing"),
        (
            "99999999999999999999+x",
            "`99999999999999999999` is too many steps",
        ),
    ] {
        assert_eq!(refused(term), expected);
    }
    let both = project
        .select(&["nope".into()], &["neither".into()])
        .unwrap_err();
    assert_eq!(both.iter().count(), 2, "select and exclude are both read");
}
