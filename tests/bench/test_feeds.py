"""The feeds' section measures every way a change goes, on real servers, and says where there is none."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from bench.feeds import measure
from bench.feeds.section import main, show


@pytest.mark.timeout(600)
def test_every_way_has_its_lag_and_every_work_its_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--members", "100", "--writes", "3", "--burst", "200"]) == 0
    shown = capsys.readouterr().out
    rows = {
        cells[0]: cells[1:] for line in shown.splitlines() if len(cells := re.split(r"\s*│\s*", line.strip("│ "))) > 5
    }
    assert len(rows) >= 4
    for name, (count, _, write, p50, p99, ratio) in rows.items():
        assert count == "3", name
        assert 0 < float(p50) <= float(p99) < measure.LONGEST * 1000
        assert float(write) > 0
        assert float(ratio) > 0
    for name, least in (("changes followed, of a burst", 200), ("member facts rebuilt", 90)):
        found = re.search(rf"{name}\s+│\s+([\d,]+) │\s+([\d,]+)", shown)
        assert found is not None, shown
        assert int(found[1].replace(",", "")) >= least
        assert int(found[2].replace(",", "")) > 0


def test_ratios_are_of_lags_to_writes() -> None:
    console = Console(width=150, record=True, quiet=False, file=None)
    with console.capture() as captured:
        show(console, [measure.Lag("way", 10, 2.0, 5.0, 9.0)], [measure.Rate("work", 7, 70.0)])
    assert re.search(r"way\s+│\s+10 │\s+│\s+2.0 │\s+5.0 │\s+9.0 │\s+2.5 ", captured.get())


@pytest.mark.parametrize("options", [["--members", "5"], ["--writes", "1"], ["--burst", "3"]])
def test_what_makes_no_sense_is_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(options)
    assert refused.value.code == 2
