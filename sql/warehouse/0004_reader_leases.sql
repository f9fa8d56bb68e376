-- Who reads a source that has one reader. A lease saves double work; the compare-and-swap of the
-- positions, not the lease, guards correctness.

create table factmill.reader_leases (
    target text not null,
    job text not null,
    source text not null,
    holder text not null,
    address text not null,
    backend integer not null,
    expires_at timestamptz not null,
    primary key (target, job, source)
);
comment on table factmill.reader_leases is 'The reader of each source that has one reader at a time.';
comment on column factmill.reader_leases.holder is 'The process that reads: its number and a random name.';
comment on column factmill.reader_leases.address is 'Where the process is, as the server sees it.';
comment on column factmill.reader_leases.backend is 'The process''s connection: once it is gone, the next reader need not wait.';
comment on column factmill.reader_leases.expires_at is 'Until when it reads, unless it renews.';
