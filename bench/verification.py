"""Rows about the chain itself: checking it, opening it. Knows the command line of stele."""

import pathlib
import tempfile

from loading import Loader, csv
from row import Result, in_turn, seconds
from servers import Stele, said
from transactions import INSERT_SCRIPT, INSERT_TABLE


def verify(options, say):
    """`stele verify` beside b3sum over the same files, one thread."""
    stele = Stele()
    try:
        load = Loader(csv(1_000_000))
        for _ in range(3):
            load(stele)
        bytes_read = int(stele.psql("SELECT sum(bytes) FROM ledger.verify() WHERE object LIKE '%.blocks'"))
        stele.process.terminate()
        stele.process.wait()
        with tempfile.NamedTemporaryFile(dir=stele.folder) as chain:
            # Only what is written: preallocated room is neither read by the one nor to be hashed by the other.
            left = bytes_read
            for file in sorted((stele.data / "blocks").glob("*.blocks")):
                piece = file.read_bytes()[:left]
                chain.write(piece)
                left -= len(piece)
            chain.flush()
            rate = lambda work: bytes_read / 1e6 / seconds(work)
            figures = in_turn(options.rounds, lambda: rate(lambda: said([Stele.BINARY, "verify", "--data", stele.data])),
                              lambda: rate(lambda: said(["b3sum", "--num-threads", "1", chain.name])), say)
        yield Result("verify", f"`stele verify` of {bytes_read / 1e6:,.0f} MB", "b3sum, one thread", "MB/s", True, 0.5, *figures, {})
        stele.start()
    finally:
        stele.close()


def opening(options, say):
    """From kill -9 to ready, after a million transactions."""
    stele = Stele()
    try:
        stele.psql(INSERT_TABLE)
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder) / "insert.sql"
            script.write_text(INSERT_SCRIPT)
            say(f"  writing {options.transactions:,} transactions")
            stele.pgbench("-n", "-f", script, "-M", "prepared", "-c", 64, "-j", 2, "-t", options.transactions // 64)
        taken = []
        for number in range(options.rounds):
            stele.kill()
            taken.append(stele.start())
            say(f"  round {number + 1}: {taken[-1]:.3f} s")
        yield Result("opening", f"opening a chain of {options.transactions:,} transactions after kill -9", "one second", "s", False, 1.0,
                     taken, [1.0] * len(taken), {stele.name: stele.memory_mib()})
    finally:
        stele.close()
