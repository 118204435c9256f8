"""TPC-H: the 22 queries on Stele, PostgreSQL, and on DataFusion and DuckDB over Parquet. Knows the eight tables."""

import os
import pathlib
import re
import time

import datafusion
import duckdb

from loading import loads
from row import Result
from servers import POSTGRES, Postgres, Stele, said

CAP_SECONDS = 40
QUERIES = pathlib.Path(__file__).parent / "tpch"
TABLES = ("region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem")


def tpch(options, say):
    """All 22 queries, best of the rounds each, summed."""
    folder = data(options.scale)
    queries = {number: (QUERIES / f"{number}.sql").read_text() for number in range(1, 23)}
    stele, postgres = Stele(), Postgres()
    try:
        for server in (stele, postgres):
            server.psql((QUERIES / "tables.sql").read_text())
            for table in TABLES:
                server.psql(*loads(table, folder / f"{table}.csv", first=2))
            server.settle()
            say(f"  {server.name}: loaded")
        ask = {
            "Stele": lambda text: by_psql(stele, text),
            "PostgreSQL": lambda text: by_psql(postgres, text),
            "DataFusion on Parquet": on_datafusion(folder),
            "DuckDB, own format": on_duckdb(folder, "CREATE TABLE {name} AS SELECT * FROM '{file}'"),
            "DuckDB on Parquet": on_duckdb(folder, "CREATE VIEW {name} AS SELECT * FROM '{file}'"),
        }
        times = {name: {} for name in ask}
        for number, text in queries.items():
            for _ in range(options.rounds):
                for name, run in ask.items():
                    if times[name].get(number, 0) < CAP_SECONDS:
                        times[name][number] = min(run(text), times[name].get(number, CAP_SECONDS))
            say(f"  q{number}: " + ", ".join(f"{name} {times[name][number]:.3f}" for name in ask))
        memory = {server.name: server.memory_mib() for server in (stele, postgres)}
    finally:
        stele.close()
        postgres.close()
    total = {name: sum(each.values()) for name, each in times.items()}
    note = "; ".join(f"q{n} " + "/".join(f"{times[name][n]:.2f}" for name in ask) for n in queries)
    for peer, at_least in (("PostgreSQL", 15.0), ("DataFusion on Parquet", 1 / 1.15), ("DuckDB, own format", 1.0), ("DuckDB on Parquet", 1.0)):
        yield Result(f"tpch-{peer.split()[0].lower()}{'-own' if 'own' in peer else ''}",
                     f"TPC-H scale {options.scale:g}, 22 queries, best of {options.rounds}", peer, "s", False, at_least,
                     [total["Stele"]], [total[peer]], memory if peer == "PostgreSQL" else {}, note if peer == "PostgreSQL" else "")


def by_psql(server, text):
    """psql's own \\timing, which leaves its start out; the cap when it was reached."""
    # Some queries make and drop a view: what psql timed is summed.
    command = [POSTGRES / "psql", "-X", "-q", "-c", f"SET statement_timeout = '{CAP_SECONDS}s'", "-c", "\\timing on"]
    for statement in filter(str.strip, text.split(";")):
        command += ["-c", statement]
    try:
        printed = said(command, env=server.environment())
    except RuntimeError as error:
        if "statement timeout" in str(error):
            return CAP_SECONDS
        raise
    return sum(float(ms) for ms in re.findall(r"^Time: ([0-9.]+) ms", printed, re.MULTILINE)) / 1000


def on_datafusion(folder):
    context = datafusion.SessionContext()
    for table in TABLES:
        context.register_parquet(table, str(folder / f"{table}.parquet"))
    return timed(lambda statement: context.sql(statement).collect())


def on_duckdb(folder, definition):
    connection = duckdb.connect()
    connection.execute(f"SET threads = {os.cpu_count()}")
    for table in TABLES:
        connection.execute(definition.format(name=table, file=folder / f"{table}.parquet"))
    return timed(lambda statement: connection.execute(statement).fetchall())


def timed(ask):
    """What runs a query's statements one by one; the seconds that they took together."""
    def run(text):
        began = time.monotonic()
        for statement in filter(str.strip, text.split(";")):
            ask(statement)
        return time.monotonic() - began
    return run


def data(scale):
    """The folder with each table as CSV and as Parquet, made when it isn't there."""
    cache = pathlib.Path(os.environ["STELE_BENCH_CACHE"])
    folder = cache / f"tpch-{scale:g}"
    if not folder.exists():
        part = folder.with_suffix(".part")
        for form in ("csv", "parquet"):
            said([cache / "venv" / "bin" / "tpchgen-cli", form, "-s", str(scale), "--output-dir", part])
        part.rename(folder)
    return folder
