-- What dashboards show of the pipeline itself: how far each read was behind, and who may look.

alter table factmill.positions add column lag bigint;
comment on column factmill.positions.lag is
    'Records beyond the position when it was reached; null where the source cannot tell.';
alter table factmill.epoch_intervals add column lag bigint;
comment on column factmill.epoch_intervals.lag is
    'Records beyond the interval when it was read; null where the source cannot tell.';
comment on column factmill.epochs.phases is
    'Milliseconds spent in each phase before the commit message: pull (waiting for the source), decode, transform, '
    'side_writes (raw documents and Parquet files), and in the transaction positions, tables, dead_letters, lake.';

-- As before, and with the lag of each interval.
create or replace function factmill.commit_epoch(epoch jsonb) returns bigint
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

    insert into factmill.epoch_intervals (epoch, source, partition, incarnation, from_position, to_position, lag)
    select number, i.source, i.partition, i.incarnation, i.from_position, i.to_position, i.lag
    from jsonb_to_recordset(epoch -> 'intervals') as i(
        source text, partition text, incarnation integer, from_position text, to_position text, lag bigint);

    insert into factmill.epoch_tables (epoch, schema, name, generation, rows)
    select number, t.schema, t.name, t.generation, t.rows
    from jsonb_to_recordset(epoch -> 'tables') as t(schema text, name text, generation bigint, rows bigint);

    return number;
end
$$;

-- Lets the roles of roles.sql read this schema, where they are. Called after a migration, and by roles.sql.
create function factmill.grant_reads() returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from pg_roles where rolname = 'factmill_reader') then
        grant usage on schema factmill to factmill_reader;
        grant select on
            factmill.schema_version, factmill.jobs, factmill.positions, factmill.incarnations, factmill.tables,
            factmill.epochs, factmill.epoch_intervals, factmill.epoch_tables, factmill.dead_letter_list
            to factmill_reader;
    end if;
    if exists (select from pg_roles where rolname = 'factmill_dead_letter_reader') then
        grant usage on schema factmill to factmill_dead_letter_reader;
        grant select on factmill.dead_letters to factmill_dead_letter_reader;
    end if;
end
$$;
comment on function factmill.grant_reads is 'Lets factmill_reader and factmill_dead_letter_reader read, where they exist.';
