"""The engine and the API next to servers on Node, measured by the command: equal answers, every row."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import print_schema

from bench.peers import memory, node, report, section, servers
from bench.peers.memory_compiled import compiled
from bench.peers.memory_server import EXECUTORS
from bench.peers.report import BARS, Bar, Cell
from bench.peers.windows import Window
from bench.peers.works import in_memory
from bench.stores.errors import CannotMeasure
from bench.stores.generator import Outcome
from bench.stores.processes import Allotment

ROOT = Path(__file__).resolve().parents[2]

PATIENCE = 600.0
"""Seconds a run may take while others use the machine, npm's download included; alone it takes less than 60."""

pytestmark = pytest.mark.timeout(PATIENCE + 30)

STORES = [servers.NEXFIT, servers.FLOOR, servers.MERCURIUS, servers.YOGA, servers.APOLLO]
ROWS = {
    "in memory": [
        servers.STOCK,
        servers.CACHES,
        servers.ENGINE,
        servers.MERCURIUS,
        servers.YOGA,
        servers.APOLLO,
    ],
    "OwnerOverview, uncached": STORES,
    "timetable, uncached": STORES,
    "OwnerOverview, response cache": [servers.NEXFIT, servers.NODE_CACHE],
    "timetable, response cache": [servers.NEXFIT, servers.NODE_CACHE],
    "OwnerOverview, at hand": [servers.NEXFIT, servers.NODE_CACHE],
    "timetable, at hand": [servers.NEXFIT, servers.NODE_CACHE],
}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a run printed and wrote."""
    try:
        node.find()
    except node.NoNode as missing:
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("peers")
    temporary, file = folder / "tmp", folder / "result.json"
    temporary.mkdir()
    options = ["--quick", "--members", "100", "--seconds", "0.3", "--warm", "0", "--json", str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", "peers", *options],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # What npm keeps for itself when it installs the servers for the first time is not ours.
    assert [left for left in temporary.iterdir() if left.name != "node-compile-cache"] == []
    return done.stdout, orjson.loads(file.read_bytes())


def test_every_server_is_measured_at_every_work(quick: tuple[str, dict[str, Any]]) -> None:
    found = {row["work"]: row["servers"] for row in quick[1]["results"]}
    assert {work: list(cells) for work, cells in found.items()} == ROWS
    for cells in found.values():
        for cell in cells.values():
            assert cell["failed"] == 0
            assert cell["per_second"] > 0
            assert cell["per_cpu_second"] > 0
            assert 0 < cell["p50_ms"] <= cell["p99_ms"]


def test_nothing_is_measured_before_the_answers_are_equal(quick: tuple[str, dict[str, Any]]) -> None:
    for work, names in ROWS.items():
        assert f"{work}: {len(names)} servers give the same answer" in quick[0]
    sizes = {
        line.partition(":")[0]: line.rpartition(", ")[2] for line in quick[0].splitlines() if "same answer" in line
    }
    assert all(int(size.split()[0].replace(",", "")) > 1000 for size in sizes.values())


def test_the_printed_tables_have_every_row_and_bar(quick: tuple[str, dict[str, Any]]) -> None:
    numbers, _, ratios = quick[0].partition("NexFit against the bars")
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in numbers.splitlines() if line[:1] == "│"]
    assert [row[1] for row in rows] == [name for names in ROWS.values() for name in names]
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in ratios.splitlines() if line[:1] == "│"]
    wanted = [ratio for row in quick[1]["results"] for ratio in row["ratios"].items()]
    assert len(lines) == len(wanted) == 2 + 2 * 4 + 4
    for line, (name, ratio) in zip(lines, wanted, strict=True):
        assert line[1] == name
        assert line[2] == f"{ratio:.2f}"
        assert line[4] in ("met", "missed")


def test_the_stores_do_the_same_work_for_every_server(quick: tuple[str, dict[str, Any]]) -> None:
    overview, timetable = quick[1]["commands"].values()
    assert list(overview) == list(timetable) == STORES
    assert set(map(tuple, timetable.values())) == {(4, 0)}
    [ours] = {tuple(overview[name]) for name in STORES[:2]}
    assert (ours[0] <= 7, ours[1]) == (True, 4)
    for name in STORES[2:]:
        mongo, postgres = overview[name]
        # One more for plans of members that were listed already; one less where instructors and members come in the
        # same moment, so that their loader asks for both at once.
        assert mongo - ours[0] in (-1, 0, 1), overview
        assert postgres == 4


def test_without_node_the_python_servers_are_still_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere() -> node.Node:
        raise node.NoNode(f"{node.WITHOUT}: this is a test.")

    monkeypatch.setattr(node, "find", nowhere)
    monkeypatch.setattr("bench.stores.processes.allot", lambda: Allotment(None, None, None))
    options = ["--only", "memory", "--rounds", "1", "--seconds", "0.3", "--warm", "0"]
    assert section.main(options) == 0
    printed = capsys.readouterr().out
    assert f"{node.WITHOUT}: this is a test." in printed
    assert "in memory: 3 servers give the same answer" in printed
    assert "not measured" in printed.partition("against the bars")[2]


def test_what_was_measured_before_a_failure_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(bench: section._Bench) -> None:
        bench.kinds["in memory"] = "memory"
        bench.windows.append(Window("in memory", servers.ENGINE, 1, Outcome(sent=1, per_second=4321.0), 8765.0, 0.0))

    def failing(*_: object) -> None:
        raise CannotMeasure("the stores are away")

    monkeypatch.setattr(section, "_node", lambda _: None)
    monkeypatch.setattr(section._Bench, "memory", measured)
    monkeypatch.setattr(section._Bench, "on_stores", failing)
    assert section.main([]) == 1
    printed = capsys.readouterr().out
    assert "8,765" in printed
    assert "the stores are away" in printed


def test_node_that_is_too_old_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "_version", lambda _: (18, 0, 0))
    with pytest.raises(node.NoNode, match=r"need Node 22\.15 or newer.*Found: 18\.0\.0.*pip install"):
        node.find()
    monkeypatch.setattr(node, "_candidates", lambda: iter(()))
    with pytest.raises(node.NoNode, match="need Node"):
        node.find()


async def test_the_executors_in_memory_answer_the_same_232_leaves() -> None:
    assert print_schema(memory.stock(caches=False)._schema) == print_schema(compiled())
    asked = orjson.loads(in_memory().body)
    answers = {name: await make()(asked) for name, make in EXECUTORS.items()}
    assert len(set(answers.values())) == 1
    assert leaves(orjson.loads(answers["engine"])) == memory.LEAVES


def leaves(value: object) -> int:
    if isinstance(value, dict):
        return sum(map(leaves, value.values()))
    return sum(map(leaves, value)) if isinstance(value, list) else 1


def test_bars_are_ratios_of_medians() -> None:
    def cell(per_cpu_second: float, p99_ms: float) -> Cell:
        return Cell(1.0, per_cpu_second, 1.0, p99_ms, 1.0, 0)

    cells = {servers.NEXFIT: cell(120, 50), servers.MERCURIUS: cell(100, 50), servers.FLOOR: cell(150, 40)}
    by_name = {str(bar): bar for bar in BARS["stores"]}
    speed = by_name[f"{servers.NEXFIT} ÷ {servers.MERCURIUS}, requests per CPU second"]
    assert speed.ratio(cells) == pytest.approx(1.2)
    assert speed.is_met(1.2)
    assert not speed.is_met(1.19)
    tail = by_name[f"{servers.NEXFIT} ÷ {servers.MERCURIUS}, p99 at 32 connections"]
    assert tail.ratio(cells) == pytest.approx(1.0)
    assert not tail.is_met(1.0)
    assert tail.is_met(0.99)
    assert Bar(servers.NEXFIT, servers.YOGA, 2).ratio(cells) is None


def test_cells_are_medians_over_rounds_and_failures_add_up() -> None:
    windows = [
        Window("work", "server", round_, Outcome(sent=10, failed=1, per_second=speed, p99_ms=speed), speed * 2, 1.0)
        for round_, speed in enumerate((10.0, 90.0, 20.0))
    ]
    found = report.cells(windows)["work"]["server"]
    assert (found.per_second, found.per_cpu_second, found.p99_ms, found.failed) == (20.0, 40.0, 20.0, 3)


@pytest.mark.parametrize(
    ("expected", "given", "where"),
    [
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, None),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, None),
        ({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "y"}]}, ".a[1].b: x is y"),
        ({"a": 1}, {"b": 1}, ": {'a': 1} is {'b': 1}"),
        ([1], [1, 2], ": [1] is [1, 2]"),
        ({"a": True}, {"a": 1}, ".a: True is 1"),
    ],
)
def test_the_first_difference_of_two_answers_is_found(expected: Any, given: Any, where: str | None) -> None:
    assert section._difference(expected, given) == where


@pytest.mark.parametrize(
    "arguments", [["--members", "0"], ["--seconds", "0"], ["--rounds", "0"], ["--warm", "-1"], ["--only", "nothing"]]
)
def test_options_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        section.options(arguments)
    assert ended.value.code == 2
