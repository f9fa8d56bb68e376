#!/usr/bin/env bash
# Runs once, when the database is made: the role that Grafana reads with. It reads the tables of the
# jobs and nothing else; the schema factmill, with the payloads of dead letters, stays closed to it.
set -euo pipefail

psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set password="$GRAFANA_READER_PASSWORD" --set writer="$POSTGRES_USER" <<'SQL'
create role grafana_reader login password :'password';
alter role grafana_reader set default_transaction_read_only = on;
alter role grafana_reader set statement_timeout = '30s';
-- a job's schema exists before the job, so that what it creates there can be read at once
create schema if not exists banking authorization :"writer";
grant usage on schema banking to grafana_reader;
alter default privileges for role :"writer" in schema banking grant select on tables to grafana_reader;
SQL
