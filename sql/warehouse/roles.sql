-- Roles for people and dashboards; run by a superuser or a role with CREATEROLE, before factmill's first
-- start or after it, as often as wanted.
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
grant factmill_reader to factmill_dead_letter_reader;

-- What is there already; factmill grants the same on what it makes later.
do $$
declare
    written text;
begin
    if to_regprocedure('factmill.grant_reads()') is null then
        return;
    end if;
    perform factmill.grant_reads();
    for written in select distinct schema from factmill.tables loop
        execute format('grant usage on schema %I to factmill_reader', written);
        execute format('grant select on all tables in schema %I to factmill_reader', written);
        execute format('alter default privileges in schema %I grant select on tables to factmill_reader', written);
    end loop;
end
$$;
