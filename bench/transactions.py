"""Rows that pgbench measures: single inserts, TPC-B, reads by key. Knows scripts and figures, not how a server starts."""

import os
import pathlib
import tempfile

from row import Result, in_turn
from servers import Postgres, Stele

INSERT_TABLE = "CREATE TABLE entry (id bigint PRIMARY KEY, account int NOT NULL, amount numeric(12,2) NOT NULL, note text)"
INSERT_SCRIPT = """\\set id random(1, 4000000000000000000)
\\set account random(1, 100000)
\\set amount random(1, 1000000)
INSERT INTO entry VALUES (:id, :account, :amount, 'a note of some length');
"""


def insert(options, say):
    """Single-row INSERT, autocommit, prepared, 16 clients."""
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder) / "insert.sql"
        script.write_text(INSERT_SCRIPT)
        arguments = ["-n", "-f", script, "-M", "prepared", "-c", 16, "-j", 2, "-T", options.seconds]
        yield _pgbench("insert", "single-row INSERT, autocommit, prepared, 16 clients", 3.0, arguments, options, say,
                       lambda server: server.psql(INSERT_TABLE))


def tpcb(options, say):
    """TPC-B-like, scale 10, 8 clients, prepared; the books must balance afterwards."""
    arguments = ["-n", "-M", "prepared", "-c", 8, "-j", 2, "-T", options.seconds]
    yield _pgbench("tpcb", "pgbench TPC-B-like, scale 10, 8 clients, prepared", 2.0, arguments, options, say, _scale_10, _balanced)


def select(options, say):
    """Reads by key, 8 clients, in two protocols."""
    for protocol in ("prepared", "simple"):
        arguments = ["-n", "-S", "-M", protocol, "-c", 8, "-j", 2, "-T", options.seconds]
        yield _pgbench(f"select-{protocol}", f"pgbench select-only, 8 clients, {protocol}", 1.3, arguments, options, say, _scale_10)


def _pgbench(name, work, at_least, arguments, options, say, prepare, check=lambda server: None):
    stele, postgres = Stele(), Postgres()
    try:
        for server in (stele, postgres):
            prepare(server)
            server.settle()
        figures = in_turn(options.rounds, lambda: stele.transactions_per_second(*arguments),
                          lambda: postgres.transactions_per_second(*arguments), say)
        check(stele)
        memory = {server.name: server.memory_mib() for server in (stele, postgres)}
        return Result(name, work, "PostgreSQL", "tx/s", True, at_least, *figures, memory, _cost(stele, postgres))
    finally:
        stele.close()
        postgres.close()


def _cost(stele, postgres):
    """Where the processors' time goes, and what no server on this machine could pass."""
    costs = ((server.name, *server.cost_us()) for server in (stele, postgres))
    texts = [f"pgbench {client:,.0f} and {name} {own:,.0f}" for name, client, own in costs]
    ceiling = os.cpu_count() / stele.cost_us()[0] * 1e6
    return (f"processor µs per transaction: {', '.join(texts)}. A server that took none would let this pgbench "
            f"reach {ceiling:,.0f} tx/s on these processors.")


def _scale_10(server):
    server.pgbench("-i", "-q", "-s", 10)


def _balanced(server):
    sums = server.psql("SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers), "
                       "(SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)")
    if len(set(sums.strip().split("|"))) != 1:
        raise RuntimeError(f"{server.name}: the books don't balance: {sums}")
