"""Keys of several shapes, in Stele's key index and in PostgreSQL's B-tree: load, lookup, update, range, disk, memory."""

import dataclasses
import hashlib
import os
import pathlib
import statistics
import tempfile
import uuid

from report import Growth, shown
from row import seconds
from servers import Postgres, Stele

ROWS = 500_000
GROUPS = 1_000


@dataclasses.dataclass
class Shape:
    """A key: its columns, the key of row number n, how pgbench names it, and a range of a fiftieth of the rows."""

    name: str
    columns: str
    key: str
    of: callable
    condition: str
    within: str


SHAPES = [
    Shape("sequential bigint", "id bigint", "id", str, "id = :n", f"id BETWEEN 200000 AND {200_000 + ROWS // 50 - 1}"),
    Shape("random uuid", "id uuid", "id", lambda n: str(uuid.UUID(bytes=hashlib.md5(str(n).encode()).digest())),
          "id = md5(:n::text)::uuid",
          "id BETWEEN '40000000-0000-0000-0000-000000000000' AND '451eb851-eb85-1eb8-51eb-851eb851eb85'"),
    Shape("composite (account, number)", "account int, number int", "account, number", lambda n: f"{n % GROUPS},{n // GROUPS}",
          f"account = :n % {GROUPS} AND number = :n / {GROUPS}", "account BETWEEN 100 AND 119"),
]


def keys(options, say):
    """Each shape on both servers."""
    sizes = []
    for shape in SHAPES:
        for server in (Stele(), Postgres()):
            try:
                sizes.append(_measured(shape, server, options))
                say("  " + ", ".join(map(shown, sizes[-1].values())))
            finally:
                server.close()
    yield Growth(sizes)


def _measured(shape, server, options):
    server.psql(f"CREATE TABLE item ({shape.columns}, amount int NOT NULL, PRIMARY KEY ({shape.key}))")
    file = _csv(shape)
    figures = {"key": shape.name, "server": server.name}
    figures["COPY, rows/s"] = ROWS / seconds(lambda: server.psql(f"\\copy item FROM '{file}' (FORMAT csv)"))
    server.settle()
    figures["get, tx/s"] = _rate(server, f"SELECT amount FROM item WHERE {shape.condition};", options)
    query = f"SELECT sum(amount) FROM item WHERE {shape.within}"
    figures["range of 10,000, ms"] = statistics.median(seconds(lambda: server.psql(query)) for _ in range(5)) * 1e3
    figures["update, tx/s"] = _rate(server, f"UPDATE item SET amount = amount + 1 WHERE {shape.condition};", options)
    figures["disk, MB"] = server.table_bytes("item") / 1e6
    figures["memory, MiB"] = server.memory_mib()
    return figures


def _rate(server, statement, options):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "script.sql"
        file.write_text(f"\\set n random(0, {ROWS - 1})\n{statement}\n")
        return server.transactions_per_second("-n", "-f", file, "-M", "prepared", "-c", 8, "-j", 2, "-T", options.seconds)


def _csv(shape):
    file = pathlib.Path(os.environ["STELE_BENCH_CACHE"]) / f"keys-{shape.columns.replace(' ', '-').replace(',', '')}-{ROWS}.csv"
    if not file.exists():
        part = file.with_suffix(".part")
        with open(part, "w") as out:
            out.writelines(f"{shape.of(n)},{n % 997}\n" for n in range(ROWS))
        part.rename(file)
    return file
