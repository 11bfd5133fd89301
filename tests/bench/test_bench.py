"""The benchmark as it is run: real servers, real load, its table and its file; and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.__main__ import main
from bench.stores.section import options

ROOT = Path(__file__).resolve().parents[2]
WORKS = ["overview, warm cache", "overview, cold cache", "facility", "node: invoice"]
SHORT = ["--rounds", "1"]

PATIENCE = 600.0
"""Seconds a run may take while others use the machine; alone it takes less than 30."""

pytestmark = pytest.mark.timeout(PATIENCE + 30)


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "bench", *options]


def environment(temporary: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temporary)}


def run(temporary: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*options),
        cwd=ROOT,
        env=environment(temporary),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def measured(folder: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """What a run printed and what it wrote; it must have measured, and left nothing behind."""
    temporary, file = folder / "tmp", folder / "result.json"
    temporary.mkdir()
    done = run(temporary, *options, "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not left_behind(temporary)
    return done.stdout, orjson.loads(file.read_bytes())


def left_behind(temporary: Path) -> list[str]:
    """Files in the folder, and processes that name it or were given it."""
    found = [str(path) for path in temporary.iterdir()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command_line, variables = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if str(temporary).encode() in command_line + variables:
            found.append(command_line.decode())
    return found


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    return measured(tmp_path_factory.mktemp("quick"), "--quick", "--seconds", "0.3", *SHORT)


def is_same(commands: float, others: float) -> bool:
    """Whether two numbers of commands per request agree; a window of few requests has a command of somebody else's."""
    return abs(commands - others) < 0.75


def by_key(result: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["work"], row["connections"]): row for row in result["results"]}


def test_every_work_is_measured_at_every_number_of_connections_for_both(quick: tuple[str, dict[str, Any]]) -> None:
    rows = by_key(quick[1])
    assert list(rows) == [(work, connections) for work in WORKS for connections in (1, 32)]
    for row in rows.values():
        for target in ("api", "floor"):
            found = row[target]
            assert found["failed"] == 0
            assert found["per_second"] > 0
            assert 0 < found["p50_ms"] <= found["p99_ms"]
        for ratio in row["ratio"].values():
            assert ratio > 0


def test_the_printed_table_is_one_of_ratios(quick: tuple[str, dict[str, Any]]) -> None:
    printed, result = quick
    table = printed.partition("API ÷ floor")[2]
    lines = [line for line in table.splitlines() if line.startswith("│")]
    assert len(lines) == 8
    for line, row in zip(lines, result["results"], strict=True):
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert cells[:2] == [row["work"], str(row["connections"])]
        assert cells[2:6] == [f"{value:.2f}" for value in row["ratio"].values()]
    assert "600 members" in printed


def test_the_floor_gives_the_apis_answers_by_the_apis_commands(quick: tuple[str, dict[str, Any]]) -> None:
    checks = quick[1]["checks"]
    assert [check["work"] for check in checks] == WORKS
    assert checks[0]["size"] > 5_000
    assert [check["difference"] for check in checks] == [""] * len(WORKS)
    for (_, connections), row in by_key(quick[1]).items():
        if connections == 1:
            for store in ("mongo", "postgres", "redis"):
                assert is_same(row["api"][store], row["floor"][store])


def test_commands_per_request_do_not_grow_with_members(
    quick: tuple[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("smaller")
    options = ("--members", "100", "--seconds", "0.2", "--connections", "1", "--only", "overview", *SHORT)
    _, smaller = measured(folder, *options)
    many = by_key(quick[1])
    for key, row in by_key(smaller).items():
        for store in ("mongo", "postgres", "redis"):
            assert is_same(row["api"][store], many[key]["api"][store])
    warm, cold = many["overview, warm cache", 1]["api"], many["overview, cold cache", 1]["api"]
    assert warm["postgres"] < cold["postgres"]
    assert warm["redis"] < cold["redis"]
    assert is_same(warm["mongo"], cold["mongo"])


@pytest.mark.parametrize(
    ("arguments", "begun"),
    [
        pytest.param(["--quick"], "Loaded", id="overview"),
        pytest.param(["peers", "--quick", "--only", "memory", "--warm", "0"], "same answer", id="peers"),
    ],
)
def test_an_interrupt_ends_everything_and_deletes_the_data(tmp_path: Path, arguments: list[str], begun: str) -> None:
    process = subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if begun in line:
                break
        time.sleep(1)  # the servers under measurement are being started, or are under load
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "ended" in printed
    assert not left_behind(tmp_path)


def test_help_names_the_sections_and_teaches_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert re.search(r"overview .*\(default\)", printed)
    for option in ("--members", "--seconds", "--rounds", "--keep", "--quick", "--json", "--floor"):
        assert option in printed


def test_a_section_that_is_not_there_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing"]) == 2
    assert "overview" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--members", "0"], ["--connections", "0"], ["--seconds", "60"], ["--rounds", "0"], ["--surprise"]]
)
def test_options_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options(arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_quick_means_less_of_everything_that_is_not_given() -> None:
    quick, usual = options(["--quick", "--rounds", "2"]), options([])
    assert (quick.members, quick.seconds, quick.rounds) == (600, 1.0, 2)
    assert (usual.members, usual.seconds, usual.rounds) == (10_000, 2.0, 3)
