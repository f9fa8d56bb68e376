"""Runs one query over a DuckLake and writes its rows as JSON.

Input: {"catalog": <postgresql URL>, "data": <folder>, "writable": <bool>, "sql": <query>}
"""

import importlib.util
import json
import pathlib
import sys
from urllib.parse import unquote, urlsplit

import duckdb


def extension(package):
    """The extension file that the wheel of this package brings."""
    folder = pathlib.Path(importlib.util.find_spec(package).submodule_search_locations[0])
    return next(folder.rglob("*.duckdb_extension"))


def conninfo(url):
    """libpq's key and value form; DuckDB's ATTACH takes no URL after `ducklake:postgres:`."""
    parts = urlsplit(url)
    values = {
        "host": parts.hostname,
        "port": parts.port or 5432,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "dbname": unquote(parts.path.lstrip("/")),
    }
    quote = lambda value: "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"
    return " ".join(f"{key}={quote(value)}" for key, value in values.items() if value)


def literal(text):
    return "'" + text.replace("'", "''") + "'"


request = json.load(sys.stdin)
connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
for package in ("duckdb_extension_postgres_scanner", "duckdb_extension_ducklake"):
    connection.execute(f"LOAD {literal(str(extension(package)))}")
connection.execute("SET TimeZone = 'UTC'")
access = "" if request["writable"] else ", READ_ONLY"
connection.execute(
    f"ATTACH {literal('ducklake:postgres:' + conninfo(request['catalog']))} AS lake "
    f"(DATA_PATH {literal(request['data'].rstrip('/') + '/')}, METADATA_SCHEMA 'lake'{access})"
)
rows = connection.execute(request["sql"]).fetchall()
json.dump(rows, sys.stdout, default=str)
