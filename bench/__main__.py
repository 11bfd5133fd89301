"""`python -m bench [SECTION] [OPTIONS]`: finds the section and hands it the rest of the arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import cast

Main = Callable[[Sequence[str]], int]
"""A section: gets the arguments behind its name, prints its tables, answers the exit code."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the benchmark; `target` is `module:function`, imported only when it is asked for."""

    target: str
    about: str

    def run(self, arguments: Sequence[str]) -> int:
        """Run it; it answers `--help` itself."""
        module, _, function = self.target.partition(":")
        return cast("Main", getattr(import_module(module), function))(arguments)


DEFAULT = "overview"

SECTIONS: dict[str, Section] = {
    "overview": Section(
        "bench.stores.section:main", "the API over real stores, next to a bare handler that fetches the same rows"
    ),
    "peers": Section(
        "bench.peers.section:main", "the engine and the API, next to Strawberry and to GraphQL servers on Node"
    ),
    "hybrid": Section("bench.hybrid:main", "commits in both stores, joined views, feeds: one table of ratios"),
    "commits": Section("bench.commits:main", "a commit in both stores, next to commits in one store each"),
    "crashes": Section(
        "bench.crashes.section:main", "kills writers of both stores at every step, and compares the stores afterwards"
    ),
    "feeds": Section(
        "bench.feeds.section:main", "how soon and how fast what others write reaches tags, member facts and contracts"
    ),
    "fanout": Section("bench.fanout.section:main", "one event to many sockets, next to graphql-ws on Node"),
    "members": Section("bench.members:main", "the members' list with filters and orders at 10,000 and 100,000 members"),
    "guard": Section("bench.guard:main", "what guard, limits, points, rights and the log line add to a small query"),
    "purchases": Section("bench.purchases:main", "memberships sold per second, at the desk and online"),
    "bookings": Section("bench.bookings:main", "bookings per second, seats and waitlist, of one hot class and of many"),
    "lastseat": Section("bench.lastseat:main", "200 clients for the last seat, 50 times, looked at by another reader"),
    "training": Section(
        "bench.training:main", "a coach's list of 50 clients, logging a workout, progress over two years of them"
    ),
    "search": Section("bench.search:main", "foods and exercises found by words, among up to a million foods"),
    "year": Section(
        "bench.year.section:main", "a simulated year of a chain, compared with a model of what it comes to"
    ),
    "plans": Section(
        "bench.plans:main", "what compiling an operation costs, and what a stream of unknown ones leaves behind"
    ),
}


def main(arguments: Sequence[str]) -> int:
    """The exit code of the section that is asked for."""
    if arguments and arguments[0] in SECTIONS:
        return SECTIONS[arguments[0]].run(arguments[1:])
    if arguments and not arguments[0].startswith("-"):
        print(f"bench: there is no section {arguments[0]!r}; there are: {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    if arguments in (["-h"], ["--help"]):
        print('usage: python -m bench [SECTION] [OPTIONS]        (make bench ARGS="SECTION OPTIONS")\n\nsections:')
        for name, section in SECTIONS.items():
            print(f"  {name:<10} {section.about}{' (default)' if name == DEFAULT else ''}")
        print("\n`python -m bench SECTION --help` tells a section's options. Those of the default one:\n")
    return SECTIONS[DEFAULT].run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
