-- Keys that a keyed source deleted, with the place of the deletion in the order of records: an older
-- change of such a key revives nothing.

create table factmill.deleted_keys (
    schema text not null,
    name text not null,
    key bytea not null,
    record_order bytea not null,
    deleted_at timestamptz not null default now(),
    primary key (schema, name, key)
);
comment on table factmill.deleted_keys is 'Keys that were deleted from tables of keyed sources.';
comment on column factmill.deleted_keys.key is 'SHA-256 of the key columns as a JSON array.';
comment on column factmill.deleted_keys.record_order is 'Place of the deletion in the order of records.';
