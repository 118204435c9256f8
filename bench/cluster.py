"""Three nodes of one chain on this machine beside one node: what agreement costs. Knows pgbench's log, not how a server starts."""

import concurrent.futures
import pathlib
import statistics
import tempfile

from row import Result, in_turn
from servers import Cluster, Stele
from transactions import INSERT_SCRIPT, INSERT_TABLE

READ_TABLE = "CREATE TABLE place AS SELECT g AS id, g * 2 AS value FROM generate_series(1, 100000) g"
READ_KEY = "ALTER TABLE place ADD PRIMARY KEY (id)"
READ_SCRIPT = """\\set id random(1, 100000)
SELECT value FROM place WHERE id = :id;
"""


def cluster(options, say):
    """Three voters against one: single-row INSERT with 16 clients, and reads by key on all nodes at once."""
    three, one = Cluster(3), Stele()
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield _insert(three, one, pathlib.Path(folder), options, say)
            yield _read(three, one, pathlib.Path(folder), options, say)
    finally:
        three.close()
        one.close()


def _insert(three, one, folder, options, say):
    script = folder / "insert.sql"
    script.write_text(INSERT_SCRIPT)
    latencies = {three.name: [], one.name: []}
    for server in (three, one):
        server.psql(INSERT_TABLE)

    def measure(server):
        log = folder / server.name.replace(" ", "-")
        arguments = ["-n", "-f", script, "-M", "prepared", "-c", 16, "-j", 2, "-T", options.seconds, "-l", f"--log-prefix={log}"]
        figure = server.transactions_per_second(*arguments)
        for file in folder.glob(f"{log.name}.*"):
            latencies[server.name] += [int(line.split()[2]) for line in file.read_text().splitlines()]
            file.unlink()
        return figure

    figures = in_turn(options.rounds, lambda: measure(three), lambda: measure(one), say)
    texts = [f"{name} {_percentile(times, 50):.1f} and {_percentile(times, 99):.1f}" for name, times in latencies.items()]
    memory = {server.name: server.memory_mib() for server in (three, one)}
    return Result("cluster-insert", "three Raft nodes on this machine, INSERT as above", "one node", "tx/s", True, 0.5, *figures, memory,
                  f"ms from statement to acknowledgement, median and 99 %: {'; '.join(texts)}.")


def _percentile(times_us, hundredth):
    return statistics.quantiles(times_us, n=100)[hundredth - 1] / 1000


def _read(three, one, folder, options, say):
    script = folder / "read.sql"
    script.write_text(READ_SCRIPT)
    for server in (three, one):
        server.psql(READ_TABLE, READ_KEY)
    arguments = ["-n", "-f", script, "-M", "prepared", "-c", 4, "-j", 1, "-T", options.seconds]

    def everywhere(settings):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return sum(pool.map(lambda port: three.transactions_per_second(*arguments, port=port, options=settings), three.ports))

    figures = in_turn(options.rounds, lambda: everywhere(""), lambda: one.transactions_per_second(*arguments), say)
    stale = everywhere("-c ledger.read=stale")
    memory = {server.name: server.memory_mib() for server in (three, one)}
    return Result("cluster-read", "reads by key on three nodes at once, 4 clients each, linearizable", "one node, 4 clients", "tx/s", True, 1.0,
                  *figures, memory, f"with ledger.read = stale the three give {stale:,.0f} tx/s. All share this machine's processors.")
