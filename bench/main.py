"""Runs the rows asked for, prints the table, keeps the raw figures, and writes docs/performance.md."""

import argparse
import datetime
import os

os.environ.setdefault("STELE_BENCH_CACHE", os.path.expanduser("~/.cache/stele/bench"))

import analytics  # noqa: E402  (the cache's place is set first)
import cluster  # noqa: E402
import growth  # noqa: E402
import keys  # noqa: E402
import loading  # noqa: E402
import report  # noqa: E402
import transactions  # noqa: E402
import verification  # noqa: E402

ROWS = {
    "insert": transactions.insert,
    "tpcb": transactions.tpcb,
    "select": transactions.select,
    "copy": loading.copy,
    "fetch": loading.fetch,
    "tpch": analytics.tpch,
    "verify": verification.verify,
    "opening": verification.opening,
    "growth": growth.growth,
    "keys": keys.keys,
    "cluster": cluster.cluster,
}


def main():
    parser = argparse.ArgumentParser(prog="bench/run", description="Stele measured beside its peers, in turn, in one run.")
    parser.add_argument("rows", nargs="*", help="only these; all when none is named")
    parser.add_argument("--list", action="store_true", help="the rows' names")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of A B (default 3)")
    parser.add_argument("--seconds", type=int, default=10, help="seconds for each pgbench run (default 10)")
    parser.add_argument("--scale", type=float, default=1, help="TPC-H's scale factor (default 1)")
    parser.add_argument("--transactions", type=int, default=1_000_000, help="transactions of the chain that is opened (default a million)")
    parser.add_argument("--growth", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000], help="rows of the growth table")
    parser.add_argument("--dry", action="store_true", help="print only; leave docs/performance.md as it is")
    options = parser.parse_args()
    if options.list:
        print("\n".join(ROWS))
        return
    unknown = set(options.rows) - set(ROWS)
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    results, failed = [], []
    for name in options.rows or ROWS:
        print(f"{name} ({datetime.datetime.now():%H:%M:%S})", flush=True)
        try:
            results += ROWS[name](options, lambda text: print(text, flush=True))
        except (RuntimeError, OSError) as error:
            # The other rows' figures are not lost for it.
            failed.append(name)
            print(f"  failed: {error}", flush=True)
    print(report.table(results))
    if not options.dry:
        report.write(results)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


main()
