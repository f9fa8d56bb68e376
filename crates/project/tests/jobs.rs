//! Job files, against the project that they stand in.

use std::time::Duration;

use factmill_project::job::{
    DeadLetters, HttpFraming, HttpMethod, HttpOrigin, HttpPaging, HttpPoll, HttpRead, HttpRepeat,
    HttpResume, HttpRetry, HttpStream, HttpTimeouts, Job, Lake, Origin, Producer, RawStore, Start,
    StripeMode, Trigger,
};

use crate::folder::{Folder, shipped};

const MINIMAL: &str = "sources: { crm.events: { kafka: { topic: t } } }\nmodels: [stg]\n";

fn folder() -> Folder {
    Folder::new()
        .with(
            "models/stg.sql",
            "select * from {{ source('crm', 'events') }}",
        )
        .with(
            "models/fct.sql",
            "{{ config(materialized='incremental') }}select * from {{ ref('stg') }}",
        )
        .with(
            "models/inlined.sql",
            "{{ config(materialized='ephemeral') }}select * from {{ ref('stg') }}",
        )
        .with(
            "models/reads_inlined.sql",
            "{{ config(materialized='table') }}select * from {{ ref('inlined') }} {{ ref('fct') }}",
        )
}

#[test]
fn a_job_has_defaults_for_all_but_sources_and_models() {
    let project = folder().with("jobs/j.yml", MINIMAL).load();
    let job: &Job = project.job("j").unwrap();
    assert_eq!(
        (
            job.schema.as_str(),
            job.raw_store.clone(),
            job.producer.clone()
        ),
        ("j", None, None)
    );
    assert_eq!(
        job.lake,
        Lake {
            schema: None,
            inline_rows: 1000
        }
    );
    let trigger = Trigger {
        max_rows: 100_000,
        max_wait: Duration::from_millis(20),
        max_bytes: 16 << 20,
    };
    assert_eq!(
        (job.trigger, job.dead_letters),
        (trigger, DeadLetters::default())
    );
    let origin = Origin::Kafka {
        topic: "t".into(),
        start: Start::Earliest,
    };
    assert_eq!(job.sources[0].origin, origin);
    let unknown = project.job("jj").unwrap_err().to_string();
    assert_eq!(
        unknown,
        "no job `jj`: there is no file jobs/jj.yml\n  help: did you mean `j`?"
    );
}

fn with_http(http: &str) -> Folder {
    let job = format!("sources: {{ crm.events: {{ http: {http} }} }}\nmodels: [stg]\n");
    folder().with("jobs/j.yml", &job)
}

fn http(http: &str) -> HttpOrigin {
    let project = with_http(http).load();
    match &project.job("j").unwrap().sources[0].origin {
        Origin::Http(origin) => (**origin).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_polled_endpoint_says_what_it_needs_and_leaves_the_rest_out() {
    let plain = http("{ url: 'https://h/list', every: 5m }");
    let poll = HttpPoll {
        every: Duration::from_secs(300),
        records: None,
        paging: HttpPaging::None,
        repeat: HttpRepeat::Anew,
        requests_per_second: None,
        idempotency_header: None,
        start_date: None,
        missing_every: None,
        missing_days: None,
    };
    let origin = HttpOrigin {
        url: "https://h/list".into(),
        method: HttpMethod::Get,
        headers: Vec::new(),
        body: None,
        ca_file: None,
        identity: None,
        timeouts: HttpTimeouts::default(),
        max_bytes: None,
        retry: HttpRetry::default(),
        read: HttpRead::Poll(poll.clone()),
    };
    assert_eq!(plain, origin);

    let full = http(
        "{ url: 'https://h/list', every: 5m, method: post, body: '{\"limit\":25}', \
         headers: { Accept: a }, ca_file: ca.pem, identity: list, max_bytes: 1MiB, \
         timeouts: { connect: 1s, idle: 2s, whole: 3s }, \
         retry: { attempts: 9, first_pause: 4s, longest_pause: 5s }, records: /data, \
         last_record: { field: /id, parameter: after, has_more: /more }, repeat: onward, \
         requests_per_second: 3, idempotency_header: X-Key }",
    );
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let wanted = HttpOrigin {
        method: HttpMethod::Post,
        headers: vec![("Accept".into(), "a".into())],
        body: Some("{\"limit\":25}".into()),
        ca_file: Some("ca.pem".into()),
        identity: Some("list".into()),
        timeouts: HttpTimeouts {
            connect: seconds(1),
            idle: seconds(2),
            whole: seconds(3),
        },
        max_bytes: Some(1 << 20),
        retry: HttpRetry {
            attempts: Some(9),
            first_pause: seconds(4),
            longest_pause: seconds(5),
        },
        read: HttpRead::Poll(HttpPoll {
            records: Some("/data".into()),
            paging: HttpPaging::LastRecord {
                field: "/id".into(),
                parameter: "after".into(),
                has_more: Some("/more".into()),
            },
            repeat: HttpRepeat::Onward,
            requests_per_second: Some(3),
            idempotency_header: Some("X-Key".into()),
            ..poll.clone()
        }),
        ..origin.clone()
    };
    assert_eq!(full, wanted);

    let daily = http(
        "{ url: 'https://h/{date}', every: 5m, start_date: 2024-01-31, missing: { every: 1h, days: 7 } }",
    );
    let wanted = HttpPoll {
        start_date: "2024-01-31".parse().ok(),
        missing_every: seconds(3600),
        missing_days: Some(7),
        ..poll
    };
    assert_eq!(daily.read, HttpRead::Poll(wanted));
}

#[test]
fn an_answer_that_goes_on_says_how_it_is_resumed() {
    let read = |keys: &str| match http(&format!("{{ url: 'https://h/'{keys} }}")).read {
        HttpRead::Stream(stream) => stream,
        HttpRead::Poll(poll) => panic!("{poll:?}"),
    };
    let plain = HttpStream {
        framing: None,
        resume: HttpResume::LastEventId {},
    };
    assert_eq!(read(""), plain);
    let by_parameter = read(
        ", framing: lines, resume: { by: parameter, field: /id, parameter: after }, method: post, body: x",
    );
    let wanted = HttpStream {
        framing: Some(HttpFraming::Lines),
        resume: HttpResume::Parameter {
            field: "/id".into(),
            parameter: "after".into(),
        },
    };
    assert_eq!(by_parameter, wanted);
    let by_header = read(", resume: { by: header, field: /id, header: X-After }").resume;
    let wanted = HttpResume::Header {
        field: "/id".into(),
        header: "X-After".into(),
    };
    assert_eq!(by_header, wanted);
    assert_eq!(
        read(", resume: { by: nothing }").resume,
        HttpResume::Nothing {}
    );
}

#[test]
fn keys_of_an_endpoint_that_do_not_go_together_are_refused() {
    for (keys, found) in [
        ("body: x", "`body` goes with `method: post`"),
        (
            "every: 1s, idempotency_header: X",
            "`idempotency_header` goes with `method: post`",
        ),
        (
            "every: 1s, framing: lines",
            "`framing` goes with an answer that goes on",
        ),
        (
            "every: 1s, resume: { by: nothing }",
            "`resume` goes with an answer that goes on",
        ),
        (
            "every: 1s, start_date: 2024-01-31",
            "`start_date` goes with a `url` that holds `{date}`",
        ),
        (
            "every: 1s, missing: {}",
            "`missing` goes with a `url` that holds `{date}`",
        ),
        ("records: /data", "`records` goes with `every`"),
        ("page: { parameter: p }", "`page` goes with `every`"),
        ("repeat: anew", "`repeat` goes with `every`"),
        (
            "requests_per_second: 1",
            "`requests_per_second` goes with `every`",
        ),
        (
            "every: 1s, page: { parameter: p }, last_record: { field: /id, parameter: p }",
            "`cursor`, `last_record` and `page` exclude each other",
        ),
        ("timeouts: { idle: 0s }", "`timeouts.idle` is 0"),
        ("max_bytes: 0", "`max_bytes` is 0"),
        (
            "retry: { attempts: 0 }",
            "`sources.crm.events.http.retry.attempts` has to be at least 1",
        ),
        (
            "resume: { by: filed }",
            "`sources.crm.events.http.resume.by` cannot be `filed`",
        ),
        ("resume: { by: nothing, field: /id }", "field"),
        ("repeat: again", "cannot be `again`"),
    ] {
        let refused = with_http(&format!("{{ url: 'https://h/', {keys} }}")).refused();
        assert!(
            refused.len() == 1 && refused[0].contains(found),
            "{keys}: {refused:?}"
        );
    }
    let refused = with_http("{ url: 'https://h/{date}', every: 1s, repeat: onward }").refused();
    assert!(refused[0].contains("each day is read once"), "{refused:?}");
}

/// Those of `docs/http-sources.md`.
#[test]
fn the_documented_endpoints_are_read() {
    let page = include_str!("../../../docs/http-sources.md");
    let mut count = 0;
    for example in page.split("```yaml\n").skip(1) {
        let (example, _) = example.split_once("```").unwrap();
        folder()
            .with("jobs/j.yml", &format!("{example}models: [stg]\n"))
            .load();
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn overrides_win_and_are_pointed_at_when_they_are_wrong() {
    let mut folder = folder().with(
        "jobs/j.yml",
        &format!("{MINIMAL}raw_store: {{ database: d, collection: c }}\n"),
    );
    let set = |folder: &mut Folder, settings: &[&str]| {
        folder.options.overrides = settings
            .iter()
            .map(|setting| ("j".into(), (*setting).into()))
            .collect();
    };
    set(
        &mut folder,
        &[
            "sources.crm.events.kafka.topic=other",
            "sources.crm.events.kafka.start=2024-01-01T00:00:00+01:00",
            "trigger.max_wait=1.5s",
            "raw_store.enabled=false",
            "models=[fct, stg]",
            "schema='x;y'",
        ],
    );
    let project = folder.load();
    let job = project.job("j").unwrap();
    let origin = Origin::Kafka {
        topic: "other".into(),
        start: Start::At(1_704_063_600_000_000),
    };
    assert_eq!(job.sources[0].origin, origin);
    assert_eq!(job.trigger.max_wait, Duration::from_millis(1500));
    assert_eq!((job.raw_store.clone(), job.schema.as_str()), (None, "x;y"));
    assert_eq!(job.models, ["fct", "stg"]);
    let models = project.job_models(job).unwrap();
    assert_eq!(models[1].sql.text(), r#"select * from "x;y"."stg""#);

    set(&mut folder, &["raw_store.enabeld=false"]);
    assert_eq!(
        folder.refused(),
        [
            "--set raw_store.enabeld=false:1:11: unknown key `enabeld` in `raw_store`\n  help: did you mean `enabled`?"
        ]
    );
    set(
        &mut folder,
        &[
            "trigger.max_rows=0",
            "trigger.max_wait=soon",
            "nothing",
            "schema.x=1",
            "a..b=1",
        ],
    );
    let found = folder.refused();
    let starts = [
        "--set a..b=1:1:1: unknown key `a`",
        "--set nothing:1:1: expected KEY=VALUE",
        "--set trigger.max_rows=0:1:18: `trigger.max_rows` has to be at least 1",
        "--set trigger.max_wait=soon:1:18: expected a period such as `20ms` or `30s`",
    ];
    for start in starts {
        assert!(
            found.iter().any(|text| text.starts_with(start)),
            "{start} in {found:#?}"
        );
    }
    folder.options.overrides = vec![("k".into(), "schema=x".into())];
    assert_eq!(
        folder.refused(),
        ["no job `k` to set `schema=x` of\n  help: known jobs: j"]
    );
}

#[test]
fn a_raw_store_can_be_switched_off_where_there_is_none() {
    let mut folder = folder().with("jobs/j.yml", MINIMAL);
    let set = |value: &str| vec![("j".into(), format!("raw_store.enabled={value}"))];
    folder.options.overrides = set("false");
    assert_eq!(folder.load().job("j").unwrap().raw_store, None);
    folder.options.overrides = set("true");
    assert_eq!(
        folder.refused(),
        [
            "--set raw_store.enabled=true:1:1: missing key `database` in `raw_store`",
            "--set raw_store.enabled=true:1:1: missing key `collection` in `raw_store`",
        ]
    );
}

#[test]
fn charges_are_made_unless_the_job_says_that_they_are_listed() {
    let producer = |text: &str| {
        let file = format!("{MINIMAL}producer: {text}\n");
        let project = folder().with("jobs/j.yml", &file).load();
        project.job("j").unwrap().producer.clone().unwrap()
    };
    let stripe = |url: Option<&str>, mode| Producer::Stripe {
        url: url.map(str::to_owned),
        mode,
    };
    assert_eq!(
        producer("{ kind: stripe, url: \"\" }"),
        stripe(None, StripeMode::Create)
    );
    assert_eq!(
        producer("{ kind: stripe, url: \"https://x\", mode: list }"),
        stripe(Some("https://x"), StripeMode::List)
    );
    let wrong = format!("{MINIMAL}producer: {{ kind: stripe, mode: lst }}\n");
    assert_eq!(
        folder().with("jobs/j.yml", &wrong).refused(),
        [
            "jobs/j.yml:3:33: `producer.mode` cannot be `lst`\n  help: did you mean `list`? known values: create, list"
        ]
    );
}

#[test]
fn the_models_of_a_job_bring_what_is_inlined_and_land_in_its_schema() {
    let project = folder()
        .with("jobs/one.yml", "sources: { crm.events: { kafka: { topic: t } } }\nmodels: [fct, stg]\n")
        .with("jobs/two.yml", "sources: { crm.events: { kafka: { topic: t } } }\nmodels: [reads_inlined]\nschema: zwei\n")
        .load();
    let lines = |job: &str| -> Vec<String> {
        let models = project.job_models(project.job(job).unwrap()).unwrap();
        models
            .iter()
            .map(|model| format!("{} = {}", model.relation, model.sql.text()))
            .collect()
    };
    assert_eq!(
        lines("one"),
        [
            r#"one.stg = select * from "lake"."crm"."events""#,
            r#"one.fct = select * from "one"."stg""#
        ]
    );
    assert_eq!(
        lines("two"),
        [
            r#"zwei.stg = select * from "lake"."crm"."events""#,
            r#"zwei.inlined = select * from "zwei"."stg""#,
            r#"zwei.reads_inlined = select * from "zwei"."inlined" "public"."fct""#,
        ]
    );
}

#[test]
fn a_job_that_does_not_fit_its_project_is_refused() {
    let folder = folder()
        .with("models/loop.sql", "select * from {{ ref('stg') }}, {{ this }}")
        .with("models/guarded.sql", "select * from {{ ref('stg') }}{% if is_incremental() %}, {{ this }}{% endif %}")
        .with("models/_more.yml", "sources: [{ name: crm, tables: [{ name: untyped, columns: [{ name: x }] }, { name: bare }] }]")
        .with(
            "jobs/a.yml",
            "sources:\n  crm.event: { kafka: { topic: t, start: now } }\n  odd: { kafka: { topic: t } }\nmodels: [stg, fcct, \"tag:x\"]\nmodel: []\ntrigger: { max_bytes: 16 MiBi }\nproducer: { kind: bankin }\n",
        )
        .with(
            "jobs/b.yml",
            "sources:\n  crm.bare: { kafka: { topic: t } }\n  crm.untyped: { kafka: { topic: t }, format: jsn }\nmodels: []\n",
        )
        .with("jobs/c.yml", "sources: { crm.evets: { kafka: { topic: t } } }\nmodels: [fct, fcct, loop, guarded]\nschema: lake\n")
        .with("jobs/d.yml", "sources: { crm.untyped: { kafka: { topic: t } }, crm.bare: { kafka: { topic: t } } }\nmodels: []\n");
    assert_eq!(
        folder.refused(),
        [
            "jobs/a.yml:2:42: expected a start such as `earliest` or `latest` or `2024-01-01T00:00:00Z` for `sources.crm.event.kafka.start`, found the text `now`",
            "jobs/a.yml:5:1: unknown key `model`\n  help: did you mean `models`?",
            "jobs/a.yml:6:23: expected a size such as `16MiB` or `64kB` for `trigger.max_bytes`, found the text `16 MiBi`",
            "jobs/a.yml:7:19: `producer.kind` cannot be `bankin`\n  help: did you mean `banking`? known values: banking, payments, stripe, ecommerce, retail",
            "jobs/b.yml:3:47: `sources.crm.untyped.format` cannot be `jsn`\n  help: did you mean `json`? known values: json, bson, csv, avro, protobuf, debezium, debezium_avro",
            "jobs/c.yml:1:10: model `stg` reads source `crm.events`, which job `c` does not read\n  help: add `crm.events` under `sources`, or leave the model out of `models`",
            "jobs/c.yml:1:12: no source `crm.evets`\n  help: did you mean `crm.events`?",
            "jobs/c.yml:2:15: selection `fcct` matches nothing\n  help: did you mean `fct`?",
            "jobs/c.yml:3:9: schema `lake` belongs to factmill itself\n  help: choose another name",
            "models/_more.yml:1:68: column `x` of source `crm.untyped` has no data_type\n  help: job `d` decodes it, and has to know its type",
            "models/_more.yml:1:84: source `crm.bare` declares no columns\n  help: job `d` decodes what is declared; add `columns` with a `data_type` each",
            "models/loop.sql:1:36: model `loop` of job `c` reads `this`, its own table\n  help: a stream hands it the new rows and keeps its table by `unique_key`; put what needs the table inside `{% if is_incremental() %}`",
        ]
    );
}

#[test]
fn a_change_stream_is_read_by_the_id_of_its_documents() {
    let sources = |meta: &str, columns: &str| {
        format!(
            "sources:\n  - name: shop\n    tables:\n      - name: orders\n        {meta}\n        columns: [{columns}]\n"
        )
    };
    let key = |key: &str| format!("config: {{ meta: {{ factmill: {{ key: [{key}] }} }} }}");
    let from = |name: &str, from: &str| {
        format!(
            "{{ name: {name}, data_type: text, config: {{ meta: {{ factmill: {{ from: {from} }} }} }} }}"
        )
    };
    let folder = |meta: &str, columns: &str, more: &str| {
        Folder::new()
            .with("models/_shop.yml", &sources(meta, columns))
            .with(
                "jobs/shop.yml",
                &format!("sources: {{ shop.orders: {{ mongo: {{ database: d, collection: c{more} }} }} }}\nmodels: []\n"),
            )
    };
    let id = from("id", "_id");
    let number = "{ name: number, data_type: text }";
    let both = format!("{id}, {number}");
    assert_eq!(
        folder("description: no key", &both, "").refused(),
        [
            "models/_shop.yml:4:15: source `shop.orders` has no `key`, and job `shop` follows its changes\n  help: a deletion names nothing but the `_id`: write `config: { meta: { factmill: { key: [id] } } }` here, or `poll_by` in the job"
        ]
    );
    let other = folder(&key("number"), number, "").refused();
    assert_eq!(
        other,
        [
            "models/_shop.yml:5:44: the key `number` of source `shop.orders` is not the `_id` of its documents, and job `shop` follows their changes\n  help: a deletion names nothing but the `_id`: write `config: { meta: { factmill: { key: [_id] } } }` here and `{ name: _id, data_type: text }` among the columns, or `poll_by` in the job"
        ]
    );
    assert_eq!(folder(&key("id, number"), &both, "").refused().len(), 1);
    let parts = format!("{}, {}", from("region", "_id.region"), from("id", "_id.id"));
    for (meta, columns, more) in [
        (key("id"), &both, ""),
        (key("region, id"), &parts, ""),
        ("description: polled".to_owned(), &both, ", poll_by: number"),
        (key("number"), &both, ", raw_topic: t"),
    ] {
        folder(&meta, columns, more).load();
    }
}

#[test]
fn a_table_has_one_writing_job() {
    let folder = folder()
        .with("models/aliased.sql", "{{ config(materialized='table', alias='fct', schema='s') }}select * from {{ ref('stg') }}")
        .with("jobs/a.yml", "sources: { crm.events: { kafka: { topic: t } } }\nmodels: [fct, aliased]\nschema: same\n")
        .with("jobs/b.yml", "sources: { crm.events: { kafka: { topic: t } } }\nmodels: [fct]\nschema: same\n");
    assert_eq!(
        folder.refused(),
        [
            "jobs/a.yml:2:9: models `aliased` and `fct` both land in same.fct\n  help: give one of them another `alias`",
            "jobs/b.yml:3:9: table same.fct is written by job `a` already\n  help: a table has one writing job: give `b` a `schema` of its own",
        ]
    );
}

#[test]
fn the_shipped_job_is_what_its_file_says() {
    let project = shipped();
    let job = project.job("banking").unwrap();
    let store = RawStore {
        database: "banking".into(),
        collection: "transactions".into(),
    };
    assert_eq!(job.raw_store, Some(store));
    assert_eq!(
        job.description.as_deref(),
        Some("Card and account transactions of French customers")
    );
    assert!(job.producer.is_some());
}
