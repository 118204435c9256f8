"""Rows about a million rows: COPY into a table, its bytes on disk, fetching them. Knows the made-up CSV."""

import datetime
import os
import pathlib
import random

from row import Result, in_turn, seconds
from servers import POSTGRES, Postgres, Stele, said

ROWS = 1_000_000
COLUMNS = "id bigint PRIMARY KEY, account int NOT NULL, amount numeric(12,2) NOT NULL, happened timestamp NOT NULL, note text"


def copy(options, say):
    """COPY of a million rows into a table with a primary key; then the same rows' bytes on disk."""
    stele, postgres = Stele(), Postgres()
    try:
        load = Loader(csv(ROWS))
        figures = in_turn(options.rounds, lambda: load(stele), lambda: load(postgres), say)
        memory = {server.name: server.memory_mib() for server in (stele, postgres)}
        yield Result("copy", "COPY of 1 million rows into a table with a primary key", "PostgreSQL", "s", False, 1.5, *figures, memory)
        bytes_each = stele.table_bytes("") / load.loaded(stele)
        peers = postgres.table_bytes(load.newest(postgres))
        yield Result("disk", "bytes on disk for that table, ledger and all", "PostgreSQL heap and index", "MB", False, 1 / 1.5,
                     [bytes_each / 1e6], [peers / 1e6], {})
    finally:
        stele.close()
        postgres.close()


def fetch(options, say):
    """A million rows to a client, by SELECT and by COPY TO."""
    stele, postgres = Stele(), Postgres()
    try:
        load = Loader(csv(ROWS))
        for server in (stele, postgres):
            load(server)
            server.settle()
        for name, work, statement in (
            ("fetch", "SELECT of 1 million rows through psql", "SELECT * FROM {}"),
            ("copy-out", "COPY of 1 million rows to the client", "COPY {} TO STDOUT"),
        ):
            def read(server):
                command = [POSTGRES / "psql", "-X", "-q", "-A", "-t", "-o", "/dev/null", "-c", statement.format(load.newest(server))]
                return seconds(lambda: said(command, env=server.environment()))
            figures = in_turn(options.rounds, lambda: read(stele), lambda: read(postgres), say)
            memory = {server.name: server.memory_mib() for server in (stele, postgres)}
            yield Result(name, work, "PostgreSQL", "s", False, 1.0, *figures, memory)
        by_jdbc = lambda server: _by_jdbc(server, load.newest(server))
        figures = in_turn(options.rounds, lambda: by_jdbc(stele), lambda: by_jdbc(postgres), say)
        yield Result("fetch-jdbc", "SELECT of 1 million rows through pgjdbc", "PostgreSQL", "s", False, 1.0, *figures, {})
    finally:
        stele.close()
        postgres.close()


def _by_jdbc(server, table):
    """The seconds that pgjdbc took for all rows, by the program's own clock."""
    url = f"jdbc:postgresql://127.0.0.1:{server.port}/stele?user=stele&password=stele&sslmode=disable"
    program = pathlib.Path(__file__).with_name("Fetch.java")
    rows, taken = said(["java", "-cp", os.environ["STELE_BENCH_PGJDBC"], program, url, f"SELECT * FROM {table}"]).split()
    if int(rows) != ROWS:
        raise RuntimeError(f"{server.name}: {rows} rows instead of {ROWS}")
    return float(taken)


def loads(table, file, first=1):
    """COPY of the file's lines from the first on, a million of them in each transaction: one has a bound on its bytes."""
    with open(file, "rb") as lines:
        count = sum(1 for _ in lines) - first + 1
    if first == 1 and count <= ROWS:
        return [f"\\copy {table} FROM '{file}' (FORMAT csv)"]
    return [f"\\copy {table} FROM PROGRAM 'tail -n +{part} {file} | head -n {ROWS}' (FORMAT csv)"
            for part in range(first, first + count, ROWS)]


class Loader:
    """Loads the CSV into a new table each time; the seconds that psql's \\copy took."""

    def __init__(self, file):
        self.file = file
        self.count = {}

    def __call__(self, server):
        self.count[server.name] = self.loaded(server) + 1
        server.psql(f"CREATE TABLE {self.newest(server)} ({COLUMNS})")
        statements = loads(self.newest(server), self.file)
        return seconds(lambda: server.psql(*statements))

    def loaded(self, server):
        return self.count.get(server.name, 0)

    def newest(self, server):
        return f"payment_{self.loaded(server)}"


def csv(rows):
    """The file with that many rows, the same on every machine: 62 MB for a million."""
    file = pathlib.Path(os.environ["STELE_BENCH_CACHE"]) / f"payments-{rows}.csv"
    if not file.exists():
        chance = random.Random(20_26)
        began = datetime.datetime(2020, 1, 1)
        words = ["rent", "salary", "invoice", "refund", "travel", "energy", "fee", "interest"]
        part = file.with_suffix(".part")
        with open(part, "w") as out:
            for number in range(rows):
                happened = began + datetime.timedelta(seconds=number * 37 + chance.randrange(37))
                note = " ".join(chance.choices(words, k=2))
                out.write(f"{number},{chance.randrange(100_000)},{chance.randrange(1, 10**8) / 100:.2f},{happened},{note}\n")
        part.rename(file)
    return file
