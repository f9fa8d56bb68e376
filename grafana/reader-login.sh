#!/usr/bin/env bash
# Runs once, when the database is made: Grafana's login. All that it may is what the role of
# sql/warehouse/roles.sql may: read the tables of the jobs, and of the schema factmill what is no
# payload. factmill grants that role what it makes.
set -euo pipefail

psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set password="$GRAFANA_READER_PASSWORD" <<'SQL'
create role grafana_reader login password :'password' in role factmill_reader;
alter role grafana_reader set default_transaction_read_only = on;
alter role grafana_reader set statement_timeout = '30s';
SQL
