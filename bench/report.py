"""The table: for a terminal, for docs/performance.md, and the raw figures beside it. Measures nothing."""

import dataclasses
import datetime
import json
import pathlib
import platform
import statistics
import subprocess

from servers import POSTGRES, said

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
RAW = ROOT / "bench" / "results"
BEGIN, END = "<!-- measured: written by bench/run -->", "<!-- end of what is measured -->"


@dataclasses.dataclass
class Growth:
    """A table of its own: figures by name, for each size or kind."""

    sizes: list


def table(results):
    """The rows as Markdown."""
    rows = [result for result in results if not isinstance(result, Growth)]
    lines = []
    if rows:
        lines += ["| work | Stele | peer | | ratio (min–max) | at least | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        ratios = row.ratios()
        verdict = "reached" if row.ratio() >= row.at_least else "**short**"
        lines.append(f"| {row.work} | {_middle(row.stele)} {row.unit} | {_middle(row.other)} {row.unit} | {row.peer} | "
                     f"{row.ratio():.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | {row.at_least:.2f} | {verdict} |")
    for row in rows:
        if row.memory_mib:
            lines.append(f"\nMemory after {row.row}: " + ", ".join(f"{name} {mib:,.0f} MiB" for name, mib in row.memory_mib.items()) + ".")
        if row.note:
            lines.append(f"\n{row.row}: {row.note}")
    for growth in (result for result in results if isinstance(result, Growth)):
        names = list(growth.sizes[0])
        lines += ["", "| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
        lines += ["| " + " | ".join(shown(size[name]) for name in names) + " |" for size in growth.sizes]
    return "\n".join(lines)


def write(results):
    """Replaces the measured part of the page, and keeps the raw figures under today's date."""
    now = datetime.datetime.now(datetime.timezone.utc)
    RAW.mkdir(exist_ok=True)
    raw = {"when": now.isoformat(timespec="seconds"), "machine": _machine(), "commit": _commit(),
           "results": [dataclasses.asdict(result) for result in results]}
    (RAW / f"{now:%Y-%m-%d-%H%M}.json").write_text(json.dumps(raw, indent=1) + "\n")
    measured = f"{BEGIN}\n\n{now:%Y-%m-%d}, commit {_commit()}, {_machine()}.\n\n{table(results)}\n\n{END}"
    page = PAGE.read_text()
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(before + measured + after)


def shown(figure):
    return f"{figure:,.4g}" if isinstance(figure, float) else f"{figure:,}" if isinstance(figure, int) else figure


def _middle(figures):
    return f"{statistics.median(figures):,.4g}"


def _machine():
    with open("/proc/cpuinfo") as info:
        model = next(l.split(":")[1].strip() for l in info if l.startswith("model name"))
        info.seek(0)
        cores = sum(l.startswith("processor") for l in info)
    with open("/proc/meminfo") as info:
        kib = int(info.readline().split()[1])
    return f"{cores} × {model}, {kib / 2**20:.0f} GiB, {platform.system()} {platform.release()}, PostgreSQL {_postgres()}"


def _postgres():
    return said([POSTGRES / "postgres", "--version"]).split()[2]


def _commit():
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()
