-- The lake's catalog: the tables of DuckLake 1.0 in schema `lake`, as DuckDB 1.5 lays them out, and
-- the function that makes an epoch visible in it. An existing DuckLake in that schema is kept.

create schema if not exists lake;

create table if not exists lake.ducklake_column (
    column_id bigint,
    begin_snapshot bigint,
    end_snapshot bigint,
    table_id bigint,
    column_order bigint,
    column_name varchar,
    column_type varchar,
    initial_default varchar,
    default_value varchar,
    nulls_allowed boolean,
    parent_column bigint,
    default_value_type varchar,
    default_value_dialect varchar
);
create table if not exists lake.ducklake_column_mapping (
    mapping_id bigint,
    table_id bigint,
    type varchar
);
create table if not exists lake.ducklake_column_tag (
    table_id bigint,
    column_id bigint,
    begin_snapshot bigint,
    end_snapshot bigint,
    key varchar,
    value varchar
);
create table if not exists lake.ducklake_data_file (
    data_file_id bigint primary key,
    table_id bigint,
    begin_snapshot bigint,
    end_snapshot bigint,
    file_order bigint,
    path varchar,
    path_is_relative boolean,
    file_format varchar,
    record_count bigint,
    file_size_bytes bigint,
    footer_size bigint,
    row_id_start bigint,
    partition_id bigint,
    encryption_key varchar,
    mapping_id bigint,
    partial_max bigint
);
create table if not exists lake.ducklake_delete_file (
    delete_file_id bigint primary key,
    table_id bigint,
    begin_snapshot bigint,
    end_snapshot bigint,
    data_file_id bigint,
    path varchar,
    path_is_relative boolean,
    format varchar,
    delete_count bigint,
    file_size_bytes bigint,
    footer_size bigint,
    encryption_key varchar,
    partial_max bigint
);
create table if not exists lake.ducklake_file_column_stats (
    data_file_id bigint,
    table_id bigint,
    column_id bigint,
    column_size_bytes bigint,
    value_count bigint,
    null_count bigint,
    min_value varchar,
    max_value varchar,
    contains_nan boolean,
    extra_stats varchar
);
create table if not exists lake.ducklake_file_partition_value (
    data_file_id bigint,
    table_id bigint,
    partition_key_index bigint,
    partition_value varchar
);
create table if not exists lake.ducklake_file_variant_stats (
    data_file_id bigint,
    table_id bigint,
    column_id bigint,
    variant_path varchar,
    shredded_type varchar,
    column_size_bytes bigint,
    value_count bigint,
    null_count bigint,
    min_value varchar,
    max_value varchar,
    contains_nan boolean,
    extra_stats varchar
);
create table if not exists lake.ducklake_files_scheduled_for_deletion (
    data_file_id bigint,
    path varchar,
    path_is_relative boolean,
    schedule_start timestamptz
);
create table if not exists lake.ducklake_inlined_data_tables (
    table_id bigint,
    table_name varchar,
    schema_version bigint
);
create table if not exists lake.ducklake_macro (
    schema_id bigint,
    macro_id bigint,
    macro_name varchar,
    begin_snapshot bigint,
    end_snapshot bigint
);
create table if not exists lake.ducklake_macro_impl (
    macro_id bigint,
    impl_id bigint,
    dialect varchar,
    sql varchar,
    type varchar
);
create table if not exists lake.ducklake_macro_parameters (
    macro_id bigint,
    impl_id bigint,
    column_id bigint,
    parameter_name varchar,
    parameter_type varchar,
    default_value varchar,
    default_value_type varchar
);
create table if not exists lake.ducklake_metadata (
    key varchar not null,
    value varchar not null,
    scope varchar,
    scope_id bigint
);
create table if not exists lake.ducklake_name_mapping (
    mapping_id bigint,
    column_id bigint,
    source_name varchar,
    target_field_id bigint,
    parent_column bigint,
    is_partition boolean
);
create table if not exists lake.ducklake_partition_column (
    partition_id bigint,
    table_id bigint,
    partition_key_index bigint,
    column_id bigint,
    transform varchar
);
create table if not exists lake.ducklake_partition_info (
    partition_id bigint,
    table_id bigint,
    begin_snapshot bigint,
    end_snapshot bigint
);
create table if not exists lake.ducklake_schema (
    schema_id bigint primary key,
    schema_uuid uuid,
    begin_snapshot bigint,
    end_snapshot bigint,
    schema_name varchar,
    path varchar,
    path_is_relative boolean
);
create table if not exists lake.ducklake_schema_versions (
    begin_snapshot bigint,
    schema_version bigint,
    table_id bigint
);
create table if not exists lake.ducklake_snapshot (
    snapshot_id bigint primary key,
    snapshot_time timestamptz,
    schema_version bigint,
    next_catalog_id bigint,
    next_file_id bigint
);
create table if not exists lake.ducklake_snapshot_changes (
    snapshot_id bigint primary key,
    changes_made varchar,
    author varchar,
    commit_message varchar,
    commit_extra_info varchar
);
create table if not exists lake.ducklake_sort_expression (
    sort_id bigint,
    table_id bigint,
    sort_key_index bigint,
    expression varchar,
    dialect varchar,
    sort_direction varchar,
    null_order varchar
);
create table if not exists lake.ducklake_sort_info (
    sort_id bigint,
    table_id bigint,
    begin_snapshot bigint,
    end_snapshot bigint
);
create table if not exists lake.ducklake_table (
    table_id bigint,
    table_uuid uuid,
    begin_snapshot bigint,
    end_snapshot bigint,
    schema_id bigint,
    table_name varchar,
    path varchar,
    path_is_relative boolean
);
create table if not exists lake.ducklake_table_column_stats (
    table_id bigint,
    column_id bigint,
    contains_null boolean,
    contains_nan boolean,
    min_value varchar,
    max_value varchar,
    extra_stats varchar
);
create table if not exists lake.ducklake_table_stats (
    table_id bigint,
    record_count bigint,
    next_row_id bigint,
    file_size_bytes bigint
);
create table if not exists lake.ducklake_tag (
    object_id bigint,
    begin_snapshot bigint,
    end_snapshot bigint,
    key varchar,
    value varchar
);
create table if not exists lake.ducklake_view (
    view_id bigint,
    view_uuid uuid,
    begin_snapshot bigint,
    end_snapshot bigint,
    schema_id bigint,
    view_name varchar,
    dialect varchar,
    sql varchar,
    column_aliases varchar
);

-- Other DuckLake clients never look at indexes; without them every epoch would scan what it grows.
create index if not exists ducklake_column_by_table on lake.ducklake_column (table_id);
create index if not exists ducklake_data_file_by_table on lake.ducklake_data_file (table_id);
create index if not exists ducklake_delete_file_by_table on lake.ducklake_delete_file (table_id);
create index if not exists ducklake_file_column_stats_by_column
    on lake.ducklake_file_column_stats (table_id, column_id);
create index if not exists ducklake_file_column_stats_by_file
    on lake.ducklake_file_column_stats (data_file_id);
create index if not exists ducklake_files_scheduled_for_deletion_by_name
    on lake.ducklake_files_scheduled_for_deletion (substring(path from '[^/]*$'));
create index if not exists ducklake_schema_versions_by_table on lake.ducklake_schema_versions (table_id);
create index if not exists ducklake_table_by_id on lake.ducklake_table (table_id);
create index if not exists ducklake_table_column_stats_by_column
    on lake.ducklake_table_column_stats (table_id, column_id);
create index if not exists ducklake_table_stats_by_table on lake.ducklake_table_stats (table_id);

create schema if not exists factmill;

-- Whether text `a` comes before text `b` as values of a kind of column: statistics are kept as text.
-- The kinds are those of `Kind` in the lake's `statistics`.
create or replace function factmill.lake_before(kind text, a text, b text) returns boolean
language sql stable as $$
    select case kind
        when 'number' then a::numeric < b::numeric
        when 'float' then a::float8 < b::float8
        when 'boolean' then a::boolean < b::boolean
        when 'date' then replace(a, '(BC)', 'BC')::date < replace(b, '(BC)', 'BC')::date
        when 'timestamp' then replace(a, '(BC)', 'BC')::timestamp < replace(b, '(BC)', 'BC')::timestamp
        when 'timestamptz' then replace(a, '(BC)', 'BC')::timestamptz < replace(b, '(BC)', 'BC')::timestamptz
        else a collate "C" < b collate "C"
    end
$$;

-- Takes the next snapshot of the lake, under the lake's lock, with ids for `files` new files.
--
-- The advisory lock orders the writers of factmill and its maintenance. Another DuckLake client
-- inserts its snapshot first of all too, so when it took the same id the insert waits for its end and
-- then tries the id after it; that client finds its id taken and tries again by its own rules.
create or replace function factmill.lake_next_snapshot(files bigint, objects bigint, altered boolean)
returns lake.ducklake_snapshot language plpgsql as $$
declare
    taken lake.ducklake_snapshot;
begin
    -- the number is 'lake' in ASCII
    perform pg_advisory_xact_lock(1818323813);
    loop
        insert into lake.ducklake_snapshot
            (snapshot_id, snapshot_time, schema_version, next_catalog_id, next_file_id)
        select snapshot_id + 1, greatest(clock_timestamp(), snapshot_time),
               schema_version + altered::integer, next_catalog_id + objects, next_file_id + files
        from lake.ducklake_snapshot
        order by snapshot_id desc
        limit 1
        on conflict (snapshot_id) do nothing
        returning * into taken;
        if found then
            return taken;
        elsif not exists (select from lake.ducklake_snapshot) then
            raise exception 'the lake has no first snapshot: open it before the first epoch';
        end if;
    end loop;
end
$$;

-- Makes the staged rows of one epoch visible as one snapshot, also when there are none, and returns
-- its id. It belongs at the end of the epoch's transaction: the lake's lock is held from here to
-- COMMIT. `epoch` is what `Lake::stage` returned:
--
--   {"author", "message", "extra",
--    "tables": [{"table_id", "schema_version", "rows", "bytes",
--                "files": [{"path", "rows", "bytes", "footer",
--                           "columns": [{"id", "bytes", "values", "nulls", "min", "max", "nan"}]}],
--                "inlined": {"into", "stage", "columns": [name], "rows"} or null,
--                "columns": [{"id", "kind", "nulls", "min", "max", "nan"}]}]}
--
-- SQLSTATE FML01: a file is listed for deletion, write the epoch anew. FML02: a table was changed or
-- dropped by another client since the epoch was written.
create or replace function factmill.lake_commit(epoch jsonb) returns bigint language plpgsql as $$
declare
    snapshot lake.ducklake_snapshot;
    part record;
    file jsonb;
    file_id bigint;
    row_id bigint;
    moved bigint;
    changes text[] := '{}';
    listed text;
begin
    snapshot := factmill.lake_next_snapshot(
        (select count(*) from jsonb_path_query(epoch, '$.tables[*].files[*]')), 0, false);
    file_id := snapshot.next_file_id
        - (select count(*) from jsonb_path_query(epoch, '$.tables[*].files[*]'));

    select name into listed
    from (select f ->> 'path' as name from jsonb_path_query(epoch, '$.tables[*].files[*]') f) written
    join lake.ducklake_files_scheduled_for_deletion d on substring(d.path from '[^/]*$') = name
    limit 1;
    if found then
        raise exception 'file % of the lake is listed for deletion; write it anew', listed
            using errcode = 'FML01';
    end if;

    for part in
        select * from jsonb_to_recordset(epoch -> 'tables') as t
            (table_id bigint, schema_version bigint, rows bigint, bytes bigint,
             files jsonb, inlined jsonb, columns jsonb)
        order by table_id
    loop
        perform from lake.ducklake_table t
        where t.table_id = part.table_id and t.end_snapshot is null
          and part.schema_version = (select max(v.schema_version) from lake.ducklake_schema_versions v
                                     where v.table_id = part.table_id);
        if not found then
            raise exception 'table % of the lake was changed or dropped by another client; start again',
                part.table_id using errcode = 'FML02';
        end if;

        update lake.ducklake_table_stats s
        set record_count = s.record_count + part.rows,
            next_row_id = s.next_row_id + part.rows,
            file_size_bytes = s.file_size_bytes + part.bytes
        where s.table_id = part.table_id
        returning s.next_row_id - part.rows into row_id;
        if not found then
            row_id := 0;
            insert into lake.ducklake_table_stats (table_id, record_count, next_row_id, file_size_bytes)
            values (part.table_id, part.rows, part.rows, part.bytes);
            insert into lake.ducklake_table_column_stats (table_id, column_id, contains_null, contains_nan)
            select part.table_id, c.id, false, c.nan and false
            from jsonb_to_recordset(part.columns) as c (id bigint, nan boolean);
        end if;

        -- a bound that is null has seen no value yet; `contains_nan` that is null is not known
        update lake.ducklake_table_column_stats s
        set contains_null = wider.contains_null, contains_nan = wider.contains_nan,
            min_value = wider.min_value, max_value = wider.max_value
        from (
            select c.id,
                   k.contains_null or c.nulls as contains_null,
                   k.contains_nan or c.nan as contains_nan,
                   case when k.min_value is null or factmill.lake_before(c.kind, c.min, k.min_value)
                        then coalesce(c.min, k.min_value) else k.min_value end as min_value,
                   case when k.max_value is null or factmill.lake_before(c.kind, k.max_value, c.max)
                        then coalesce(c.max, k.max_value) else k.max_value end as max_value
            from jsonb_to_recordset(part.columns) as c
                (id bigint, kind text, nulls boolean, min text, max text, nan boolean)
            join lake.ducklake_table_column_stats k on k.table_id = part.table_id and k.column_id = c.id
        ) wider
        where s.table_id = part.table_id and s.column_id = wider.id
          and (s.contains_null, s.contains_nan, s.min_value, s.max_value) is distinct from
              (wider.contains_null, wider.contains_nan, wider.min_value, wider.max_value);

        for file in select f from jsonb_array_elements(part.files) f loop
            insert into lake.ducklake_data_file
                (data_file_id, table_id, begin_snapshot, path, path_is_relative, file_format,
                 record_count, file_size_bytes, footer_size, row_id_start)
            values
                (file_id, part.table_id, snapshot.snapshot_id, file ->> 'path', true, 'parquet',
                 (file ->> 'rows')::bigint, (file ->> 'bytes')::bigint, (file ->> 'footer')::bigint, row_id);
            insert into lake.ducklake_file_column_stats
                (data_file_id, table_id, column_id, column_size_bytes, value_count, null_count,
                 min_value, max_value, contains_nan)
            select file_id, part.table_id, c.id, c.bytes, c.values, c.nulls, c.min, c.max, c.nan
            from jsonb_to_recordset(file -> 'columns') as c
                (id bigint, bytes bigint, values bigint, nulls bigint, min text, max text, nan boolean);
            file_id := file_id + 1;
            row_id := row_id + (file ->> 'rows')::bigint;
        end loop;
        if jsonb_array_length(part.files) > 0 then
            changes := changes || format('inserted_into_table:%s', part.table_id);
        end if;

        if jsonb_typeof(part.inlined) = 'object' then
            execute (
                select format(
                    'with taken as (delete from pg_temp.%I returning *)
                     insert into lake.%I (row_id, begin_snapshot, %s)
                     select row_id + $1, $2, %3$s from taken',
                    part.inlined ->> 'stage', part.inlined ->> 'into',
                    string_agg(quote_ident(name), ', ' order by at))
                from jsonb_array_elements_text(part.inlined -> 'columns') with ordinality c (name, at)
            ) using row_id, snapshot.snapshot_id;
            get diagnostics moved = row_count;
            if moved <> (part.inlined ->> 'rows')::bigint then
                raise exception '% rows of table % were staged for the lake, % found',
                    part.inlined ->> 'rows', part.table_id, moved;
            end if;
            changes := changes || format('inlined_insert:%s', part.table_id);
            -- the rows taken out stay behind as dead ones; to cut the file costs milliseconds, so seldom
            if pg_relation_size(format('pg_temp.%I', part.inlined ->> 'stage')) > 1048576 then
                execute format('truncate pg_temp.%I', part.inlined ->> 'stage');
            end if;
        end if;
    end loop;

    insert into lake.ducklake_snapshot_changes
        (snapshot_id, changes_made, author, commit_message, commit_extra_info)
    values (snapshot.snapshot_id,
            (select coalesce(string_agg(distinct change, ','), '') from unnest(changes) as change),
            epoch ->> 'author', epoch ->> 'message', epoch ->> 'extra');
    return snapshot.snapshot_id;
end
$$;
