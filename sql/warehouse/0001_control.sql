-- The control schema: what was read, what was committed, what could not be loaded.
-- Applied once, inside the transaction that migrates; a later change is a file of its own.

create table factmill.jobs (
    target     text not null,
    job        text not null,
    first_seen timestamptz not null default now(),
    primary key (target, job)
);
comment on table factmill.jobs is 'Each job of each target that has ever written here.';

create table factmill.positions (
    target      text not null,
    job         text not null,
    source      text not null,
    partition   text not null,
    incarnation integer not null,
    identity    text not null,
    position    text not null,
    updated_at  timestamptz not null default now(),
    primary key (target, job, source, partition)
);
comment on table factmill.positions is
    'How far each job has read each partition; moved by compare-and-swap as the first statement of an epoch.';
comment on column factmill.positions.incarnation is 'Ordinal of the incarnation that the position counts in.';
comment on column factmill.positions.identity is 'What the server calls that incarnation: cluster and topic id for Kafka.';
comment on column factmill.positions.position is 'The next offset, or token:<resume token>.';

create table factmill.incarnations (
    target          text not null,
    job             text not null,
    source          text not null,
    ordinal         integer not null,
    identity        text not null,
    first_seen      timestamptz not null default now(),
    ended_at        timestamptz,
    final_positions jsonb,
    primary key (target, job, source, ordinal)
);
comment on table factmill.incarnations is
    'The lives of each source as a job has seen them: a re-created topic or another cluster is another incarnation.';
comment on column factmill.incarnations.ended_at is
    'When the incarnation was closed; its positions do not count any more, and the next one begins anew.';
comment on column factmill.incarnations.final_positions is
    'Where its partitions stood when it was closed: {"<partition>": "<position>"}.';
create unique index incarnations_open on factmill.incarnations (target, job, source, identity) where ended_at is null;

create table factmill.tables (
    schema      text not null,
    name        text not null,
    target      text not null,
    job         text not null,
    model       text not null,
    maintenance text not null,
    fingerprint text not null,
    generation  bigint not null default 1,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    primary key (schema, name)
);
comment on table factmill.tables is 'Each table that a job writes, and the one job that writes it.';
comment on column factmill.tables.generation is
    'Raised when the table is replaced for a changed model; an epoch compiled for another generation is refused.';
comment on column factmill.tables.fingerprint is 'Hash of columns, types, key and maintenance as the plan declared them.';

create table factmill.epochs (
    epoch        bigint primary key,
    attempt      uuid not null unique,
    target       text not null,
    job          text not null,
    started_at   timestamptz not null,
    committed_at timestamptz not null,
    rows_in      bigint not null,
    rows_out     bigint not null,
    dead_letters bigint not null,
    code_version text not null,
    phases       jsonb not null
);
comment on table factmill.epochs is 'Every committed micro-batch; its number is its lake snapshot id.';
comment on column factmill.epochs.attempt is
    'Chosen by the process before it commits, so that it can find the epoch when the connection is lost at COMMIT.';
comment on column factmill.epochs.phases is 'Milliseconds spent in each phase before the commit message.';
create index epochs_of_job on factmill.epochs (target, job, epoch desc);

create table factmill.epoch_intervals (
    epoch         bigint not null references factmill.epochs on delete cascade,
    source        text not null,
    partition     text not null,
    incarnation   integer not null,
    from_position text,
    to_position   text not null,
    primary key (epoch, source, partition)
);
comment on table factmill.epoch_intervals is 'Lineage: what each epoch read, the half-open interval [from, to).';

create table factmill.epoch_tables (
    epoch      bigint not null references factmill.epochs on delete cascade,
    schema     text not null,
    name       text not null,
    generation bigint not null,
    rows       bigint not null,
    primary key (epoch, schema, name)
);
comment on table factmill.epoch_tables is 'Lineage: how many rows each epoch offered to each table.';

create table factmill.dead_letters (
    id               bigint generated always as identity primary key,
    target           text not null,
    job              text not null,
    source           text not null,
    incarnation      integer not null,
    partition        text not null,
    "offset"         bigint not null,
    record_timestamp timestamptz,
    reason           text not null,
    field            text,
    detail           text not null,
    key              bytea,
    payload          bytea,
    headers          jsonb not null,
    attempt          uuid not null,
    status           text not null default 'open' check (status in ('open', 'replayed', 'discarded')),
    unique (target, job, source, incarnation, partition, "offset")
);
comment on table factmill.dead_letters is 'Records that could not be loaded, whole, with the reason.';
comment on column factmill.dead_letters.attempt is 'The epoch that set it aside, as in epochs.attempt.';
comment on column factmill.dead_letters.headers is
    'Array of [name, value] in their order; a value that is not text is {"hex": "…"}.';
create index dead_letters_of_job on factmill.dead_letters (target, job, id desc);

create view factmill.dead_letter_list as
    select d.id, d.target, d.job, d.source, d.incarnation, d.partition, d."offset", d.record_timestamp,
           d.reason, d.field, d.detail, d.status, e.epoch, e.committed_at
    from factmill.dead_letters d
    join factmill.epochs e using (attempt);
comment on view factmill.dead_letter_list is 'Dead letters with their epoch and without their content.';

-- The last message of an epoch: the lake's part, which gives the epoch its number, then the
-- lineage. factmill.lake_commit comes with the lake's own migration.
create function factmill.commit_epoch(epoch jsonb) returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    number bigint := factmill.lake_commit(epoch -> 'lake');
begin
    insert into factmill.epochs
        (epoch, attempt, target, job, started_at, committed_at, rows_in, rows_out, dead_letters, code_version, phases)
    select number, e.attempt, e.target, e.job, e.started_at, clock_timestamp(), e.rows_in, e.rows_out,
           e.dead_letters, e.code_version, e.phases
    from jsonb_to_record(epoch) as e(
        attempt uuid, target text, job text, started_at timestamptz, rows_in bigint, rows_out bigint,
        dead_letters bigint, code_version text, phases jsonb);

    insert into factmill.epoch_intervals (epoch, source, partition, incarnation, from_position, to_position)
    select number, i.source, i.partition, i.incarnation, i.from_position, i.to_position
    from jsonb_to_recordset(epoch -> 'intervals') as i(
        source text, partition text, incarnation integer, from_position text, to_position text);

    insert into factmill.epoch_tables (epoch, schema, name, generation, rows)
    select number, t.schema, t.name, t.generation, t.rows
    from jsonb_to_recordset(epoch -> 'tables') as t(schema text, name text, generation bigint, rows bigint);

    return number;
end
$$;
comment on function factmill.commit_epoch is 'Writes the lake''s part and the lineage of an epoch; returns its number.';
