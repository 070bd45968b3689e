"""Clients beside each other, in interleaved rounds: each measured once a round, and then the next round.

The order turns around from round to round. Ratios are taken within a round, pair by pair: what else the machine did in
that second met both. A client that fails is out of the race, and its row says why; one that is not installed is absent.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import _output
from _children import PATIENCE_SECONDS, Child, ChildFailed, PeerAbsent, Word
from _output import Column, Record
from _peers import cases

LOOPS = ("asyncio", "uvloop", "trio")


class Contestant:
    """One client on one loop, in a process of its own; `results` has one word for each round."""

    def __init__(self, client: str, loop: str) -> None:
        self.client = client
        self.loop = loop
        self.ready: Word = {}
        self.results: list[Word] = []
        self.state = "measured"
        self.reason: str | None = None
        self.child: Child | None = None

    def start(self, module: str, case: Word, *, patience: float = PATIENCE_SECONDS) -> None:
        """Start the child, which runs the module's `in_child`, and wait until it is warm."""
        case = {**case, "client": self.client}
        try:
            self.child = Child(module, case, side="client", loop=self.loop, patience=patience)
            self.ready = self.child.hear()
        except ChildFailed as error:
            self.fail(error)

    def ask(self, word: Word) -> Word | None:
        """Send a word and return the answer; None if it is out of the race."""
        if self.child is None:
            return None
        try:
            return self.child.ask(word)
        except ChildFailed as error:
            self.fail(error)
            return None

    def measure(self, word: Word, objection: Callable[[Word], str | None]) -> None:
        """Measure once. An objection to the result takes the client out of the race."""
        result = self.ask(word)
        if result is None:
            return
        reason = objection(result)
        if reason is None:
            self.results.append(result)
        else:
            self.fail(ChildFailed(reason))

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()
            self.child = None

    def fail(self, error: ChildFailed) -> None:
        """Take it out of the race."""
        self.state = "absent" if isinstance(error, PeerAbsent) else "FAILED"
        self.reason = str(error)
        self.results.clear()
        self.stop()

    def record(self) -> Record:
        return {"client": self.client, "loop": self.loop, "state": self.state, "reason": self.reason}


class Race:
    """The clients of one table. Used as `with`: no child outlives it."""

    def __init__(self, wishes: str, protocol: str) -> None:
        pairs, self._left_out = cases(_output.names(wishes), protocol)
        self.contestants = [Contestant(client, loop) for client, loop in pairs]

    def start(self, module: str, case: Word) -> None:
        for one in self.contestants:
            one.start(module, case)

    def run(
        self,
        rounds: int,
        word: Callable[[Contestant], Word],
        objection: Callable[[Word], str | None] = lambda result: None,
    ) -> None:
        """Measure everybody in every round."""
        for number in range(rounds):
            for one in self.contestants if number % 2 == 0 else self.contestants[::-1]:
                one.measure(word(one), objection)

    def notes(self) -> list[str]:
        """Say who is not in the table, and why."""
        reasons = [f"{one.client} on {one.loop}: {one.state}: {one.reason}" for one in self.contestants if one.reason]
        return self._left_out + reasons

    def records(self, figure: Callable[[Word], float]) -> list[Record]:
        """Return minimum and median of a figure, and its ratio to netio's on each loop, within the rounds."""
        ours = {one.loop: one for one in self.contestants if one.client == "netio" and one.results}
        made: list[Record] = []
        for one in self.contestants:
            record = one.record()
            made.append(record)
            if not one.results:
                continue
            values = [figure(result) for result in one.results]
            record["min"], record["median"] = _output.minimum_and_median(values)
            record["rounds"] = values
            for loop, mine in ours.items():
                if mine is not one:
                    ratios = _output.ratio_in_rounds([figure(result) for result in mine.results], values)
                    low, record[f"ratio_{loop}"], high = ratios
                    record.update({f"ratio_{loop}_min": low, f"ratio_{loop}_max": high})
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for one in self.contestants:
            one.stop()


def columns(*more: Column) -> list[Column]:
    """Return the columns that a race always has, and more before the ratios."""
    return [
        Column("client", "client"),
        Column("loop", "loop"),
        Column("min", "min", ".1f"),
        Column("median", "median", ".1f"),
        *more,
        *(Column(f"ratio_{loop}", f"netio {loop} / it", ".2f") for loop in LOOPS),
        Column("state", "state"),
    ]


def cpu_per_request(result: Word) -> float:
    """Return microseconds."""
    return float(result["cpu"]) / int(result["requests"]) * 1e6


def wrong_length(result: Word) -> str | None:
    """Object if answers had another length than they should."""
    return f"{result['wrong']} of {result['requests']} answers had another length" if result["wrong"] else None


def add_client_option(parser: argparse.ArgumentParser, clients: Sequence[str] | str) -> None:
    parser.add_argument("--client", default=clients, help=f"NAME, NAME:LOOP or NAME:*, with commas (default {clients})")
