# syntax=docker/dockerfile:1

# The tag is the toolchain of rust-toolchain.toml; Debian 12 as below, so that the binary finds its libc.
FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends cmake \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# Cargo's registry and target folder stay on the builder between builds: a change of factmill's own
# code compiles factmill's own crates only.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    cargo build --release --locked --package factmill \
 && install -D target/release/factmill /out/factmill

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/factmill factmill \
 && install --directory --owner factmill --group factmill \
    /var/lib/factmill /var/lib/factmill/lake /project/.factmill
COPY --from=build /out/factmill /usr/local/bin/factmill
# The project that runs; mount another one at /project.
COPY --from=build /build/dbt_project.yml /build/profiles.yml /build/factmill.yml /project/
COPY --from=build /build/jobs /project/jobs
COPY --from=build /build/models /project/models
COPY --from=build /build/sql /project/sql
COPY --from=build /build/data /project/data
ENV FACTMILL_PROFILE=local \
    LAKE_PATH=/var/lib/factmill/lake
WORKDIR /project
USER 10001:10001
VOLUME /var/lib/factmill/lake
EXPOSE 9464
# The epoch in flight is finished or dropped on SIGTERM, within seconds.
STOPSIGNAL SIGTERM
# /healthz is answered by the stream itself; bash's own sockets save an HTTP client in the image.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9464 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["factmill"]
# Without a job it is banking, or the only one of a mounted project.
CMD ["stream", "--listen", "0.0.0.0:9464"]
