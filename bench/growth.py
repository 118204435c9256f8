"""What a table costs as it grows: each figure at several sizes of the same table. Stele alone."""

import pathlib
import tempfile

from loading import Loader, csv
from row import seconds
from servers import Stele
from report import Growth

POINT_SCRIPT = "\\set id random(0, {last})\nSELECT amount FROM {table} WHERE id = :id;\n"
PAST_SCRIPT = "\\set id random(0, {last})\nSELECT amount FROM ledger.as_of('{table}', 'block:{height}') WHERE id = :id;\n"
UPDATE_SCRIPT = "\\set id random(0, {last})\nUPDATE {table} SET amount = amount + 1 WHERE id = :id;\n"
INSERT_SCRIPT = "\\set id random(1000000000, 4000000000000000000)\nINSERT INTO {table} VALUES (:id, 1, 1.00, '2026-01-01', 'new');\n"


def growth(options, say):
    """Insert rate, reads, scan, update, restart, disk and memory at each size."""
    yield Growth([_at(rows, options, say) for rows in options.growth])


def _at(rows, options, say):
    stele = Stele()
    try:
        load = Loader(csv(rows))
        figures = {"rows": rows, "COPY, rows/s": rows / load(stele)}
        names = {"table": load.newest(stele), "last": rows - 1, "height": stele.psql("SELECT max(height) FROM ledger.blocks").strip()}
        figures["get by key, tx/s"] = _rate(stele, POINT_SCRIPT, names, options)
        figures["get AS OF by key, tx/s"] = _rate(stele, PAST_SCRIPT, names, options)
        figures["insert, tx/s"] = _rate(stele, INSERT_SCRIPT, names, options)
        figures["update by key, tx/s"] = _rate(stele, UPDATE_SCRIPT, names, options)
        figures["scan (sum), s"] = seconds(lambda: stele.psql(f"SELECT sum(amount) FROM {load.newest(stele)}"))
        figures["memory, MiB"] = stele.memory_mib()
        figures["disk, MB"] = stele.table_bytes("") / 1e6
        stele.kill()
        figures["restart after kill -9, s"] = stele.start()
        say("  " + ", ".join(f"{name} {figure:,.4g}" for name, figure in figures.items()))
        return figures
    finally:
        stele.close()


def _rate(stele, script, names, options):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "script.sql"
        file.write_text(script.format(**names))
        return stele.transactions_per_second("-n", "-f", file, "-M", "prepared", "-c", 8, "-j", 2, "-T", options.seconds)
