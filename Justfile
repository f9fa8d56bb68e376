# The recipes wrap the two commands of the README; `just` alone lists them.
# FACTMILL_PROFILE chooses a profile of factmill.yml, the embedded one when it is not set.

set positional-arguments

[private]
default:
    @just --list --unsorted

# Run a job's stream until Ctrl-C; without a job a terminal is asked, elsewhere it is banking: just run-stream retail
run-stream *args:
    cargo run --release --quiet -- stream "$@"

# Build the models of all jobs over the whole history as a batch: just run-models --select fct_transactions
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

# Start Kafka, MongoDB, Postgres, Grafana and a job in Docker, with fresh passwords in .env: just up retail
up job="":
    test -f .env || bash .ci/fresh-env > .env
    docker compose {{ if job == "" { "" } else { "--profile " + job } }} up --build --detach --wait
    @echo "Grafana: http://127.0.0.1:3000 (admin, GRAFANA_ADMIN_PASSWORD of .env)"

# Stop what `up` started; their data stays: just down --volumes removes it
down *args:
    docker compose --profile "*" down "$@"

# Check format, lints, dependencies and docs as CI does
lint:
    cargo xtask ci

# Format the code
fmt:
    cargo fmt --all

# Build the documentation of the code
docs:
    cargo doc --release --workspace --no-deps
