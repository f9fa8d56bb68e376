-- Roles for people and dashboards; run by a superuser or a role with CREATEROLE, as often as wanted.
-- factmill_reader sees tables, positions, epochs and the list of dead letters.
-- factmill_dead_letter_reader also sees the content of dead letters, which may be personal data.
-- Both are without login: `grant factmill_reader to grafana`.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'factmill_reader') then
        create role factmill_reader nologin;
    end if;
    if not exists (select from pg_catalog.pg_roles where rolname = 'factmill_dead_letter_reader') then
        create role factmill_dead_letter_reader nologin;
    end if;
end
$$;

grant usage on schema factmill to factmill_reader, factmill_dead_letter_reader;
grant select on
    factmill.schema_version, factmill.jobs, factmill.positions, factmill.incarnations, factmill.tables, factmill.epochs,
    factmill.epoch_intervals, factmill.epoch_tables, factmill.dead_letter_list
    to factmill_reader;
grant factmill_reader to factmill_dead_letter_reader;
grant select on factmill.dead_letters to factmill_dead_letter_reader;

-- Tables that jobs have made already; factmill grants the same on those that it makes later.
do $$
declare
    written text;
begin
    for written in select distinct schema from factmill.tables loop
        execute format('grant usage on schema %I to factmill_reader', written);
        execute format('grant select on all tables in schema %I to factmill_reader', written);
        execute format('alter default privileges in schema %I grant select on tables to factmill_reader', written);
    end loop;
end
$$;
