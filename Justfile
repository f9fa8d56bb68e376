# The recipes wrap the two commands of the README; `just` alone lists them.
# FACTMILL_PROFILE chooses a profile of factmill.yml, the embedded one when it is not set.

set positional-arguments

[private]
default:
    @just --list --unsorted

# Run a job's stream until Ctrl-C: just run-stream retail --profile local; without a job a terminal is asked
run-stream *args:
    #!/usr/bin/env bash
    set -euo pipefail
    if [ $# -eq 0 ] && ! [ -t 0 ]; then set -- banking; fi
    cargo run --release --quiet -- stream "$@"

# Build the models over the whole history as a batch: just run-models --select fct_transactions
run-models *args:
    cargo run --release --quiet -- run "$@"

# Ask an SQL question over lake, warehouse and seeds: just sql "select count(*) from banking.fct_transactions"
sql *args:
    cargo run --release --quiet -- sql "$@"

# Send a job's events to its topic: just produce banking --count 1000 --rate max
produce *args:
    cargo run --release --quiet -- produce "$@"

# Build the binary, target/release/factmill
build:
    cargo build --release

# Run every test, real servers included, after installing what they need: just test [FILTER…]
test *args:
    cargo xtask test "$@"

# Run a benchmark, or list them: just bench [NAME]
bench *args:
    cargo xtask bench "$@"

# Start Kafka, MongoDB, Postgres, Grafana and the banking job in Docker, with fresh passwords in .env
up:
    test -f .env || bash .ci/fresh-env > .env
    docker compose up --build --detach --wait
    @echo "Grafana: http://127.0.0.1:3000 (admin, GRAFANA_ADMIN_PASSWORD of .env)"

# Stop what `up` started; their data stays: just down --volumes removes it
down *args:
    docker compose down "$@"

# Check format, lints, dependencies and docs as CI does
lint:
    cargo xtask ci

# Format the code
fmt:
    cargo fmt --all

# Build the documentation of the code
docs:
    cargo doc --release --workspace --no-deps
