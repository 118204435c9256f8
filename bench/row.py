"""A row of the table: one kind of work, measured on Stele and on a peer in turn. Knows nothing of the single rows."""

import dataclasses
import statistics
import time


@dataclasses.dataclass
class Result:
    """What one row came to. Figures are in the row's unit, one for each round."""

    row: str
    work: str
    peer: str
    unit: str
    more_is_better: bool
    at_least: float
    stele: list
    other: list
    memory_mib: dict
    note: str = ""

    def ratios(self):
        """How many times better than the peer, for each round: above 1 is better, whatever the unit."""
        pairs = zip(self.stele, self.other)
        return [s / o if self.more_is_better else o / s for s, o in pairs]

    def ratio(self):
        return statistics.median(self.ratios())


def in_turn(rounds, first, second, say):
    """Measures the two, A B A B …; two lists."""
    measured = ([], [])
    for number in range(rounds):
        for figures, measure, name in zip(measured, (first, second), ("Stele", "peer")):
            figures.append(measure())
            say(f"  round {number + 1}: {name} {figures[-1]:,.4g}")
    return measured


def seconds(work):
    began = time.monotonic()
    work()
    return time.monotonic() - began
