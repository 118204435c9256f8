"""DuckDB and pandas (through pyarrow) read sealed files as plain Parquet, and find what SELECT says."""

import glob
import os
import time

import duckdb
import pandas as pd
import psycopg

rows = 5000
with psycopg.connect(os.environ["STELE_URL"], autocommit=True) as connection:
    connection.execute("CREATE TABLE sealed (id bigint PRIMARY KEY, name text, amount numeric(12,2), day date,"
                       " happened timestamptz, flag boolean, ratio float8, raw bytea)")
    connection.execute(
        "INSERT INTO sealed SELECT g, CASE WHEN g % 7 = 0 THEN NULL ELSE 'name ' || g END, g / 4.0, date '2020-01-01' + g::int % 400,"
        f" timestamptz '2024-02-29 12:00:00+00' + g * interval '1 second', g % 3 = 0, g / 3.0, '\\x00ff'::bytea FROM generate_series(1, {rows}) g")
    connection.execute("UPDATE sealed SET amount = amount + 0.01 WHERE id % 50 = 0")
    connection.execute("DELETE FROM sealed WHERE id % 50 = 1")
    versions = connection.execute("SELECT count(*) FROM ledger.history('sealed') WHERE ledger_op <> 'DELETE'").fetchone()[0]

    # Rows are sealed in the background: wait until the files hold every version.
    pattern = os.path.join(os.environ["STELE_DATA"], "segments", "*.parquet")
    deadline = time.monotonic() + 60
    while True:
        try:
            found = [name for name in glob.glob(pattern) if "ratio" in pd.read_parquet(name).columns]
            frames = [pd.read_parquet(name) for name in sorted(found)]
        except FileNotFoundError:
            # Merged meanwhile.
            continue
        if sum(map(len, frames)) == versions:
            break
        assert time.monotonic() < deadline, f"{sum(map(len, frames))} of {versions} versions are sealed"
        connection.execute("CREATE TABLE IF NOT EXISTS nudge (id int)")
        connection.execute("INSERT INTO nudge SELECT generate_series(1, 200)")
        time.sleep(0.05)

    history = connection.execute(
        "SELECT id, name, amount, day, happened, flag, ratio, raw, ledger_valid_from FROM ledger.history('sealed')"
        " WHERE ledger_op <> 'DELETE' ORDER BY ledger_valid_from, id").fetchall()
    frame = pd.concat(frames).sort_values(["_ledger_block", "id"])
    for mine, theirs in zip(history, frame.itertuples(index=False)):
        name = None if pd.isna(theirs.name) else theirs.name
        assert mine == (theirs.id, name, theirs.amount, theirs.day, theirs.happened.to_pydatetime(), theirs.flag, theirs.ratio,
                        theirs.raw, theirs._asdict().get("_ledger_block", mine[8])), (mine, theirs)

    # DuckDB over the same files: totals of all versions, and of those that no later one replaced.
    files = "read_parquet([" + ", ".join(f"'{name}'" for name in found) + "])"
    totals = "count(*), sum(amount), min(day), count(DISTINCT happened), count(name), sum(CASE WHEN flag THEN 1 ELSE 0 END)"
    theirs = duckdb.connect().execute(f"SELECT {totals} FROM {files}").fetchone()
    mine = connection.execute(f"SELECT {totals} FROM ledger.history('sealed') WHERE ledger_op <> 'DELETE'").fetchone()
    assert tuple(mine) == tuple(theirs), (mine, theirs)
    newest = (f"SELECT count(*), sum(amount) FROM (SELECT *, row_number() OVER (PARTITION BY id ORDER BY _ledger_block DESC) AS n"
              f" FROM {files}) WHERE n = 1 AND id % 50 <> 1")
    theirs = duckdb.connect().execute(newest).fetchone()
    mine = connection.execute("SELECT count(*), sum(amount) FROM sealed").fetchone()
    assert tuple(mine) == tuple(theirs), (mine, theirs)
