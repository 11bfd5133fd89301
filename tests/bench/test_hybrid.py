"""`python -m bench hybrid` has one table with a ratio for every meeting of the stores."""

from __future__ import annotations

import re

import pytest

from bench.hybrid import Ratio, main


@pytest.mark.timeout(300)
def test_everything_has_its_line_in_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--members", "100"]) == 0
    shown = capsys.readouterr().out
    lines = [re.split(r"\s*│\s*", line.strip("│ ")) for line in shown.splitlines() if line.startswith("│")]
    rows = {(cells[0], cells[3]): cells for cells in lines}
    for writers in (1, 8):
        for other in ("one after the other", "postgres alone", "mongo alone"):
            assert float(rows[f"commit in both stores, {writers} at once", other][5]) > 0
    joined = [cells for (name, _), cells in rows.items() if name.endswith(", cached")]
    assert len(joined) == 3
    for cells in joined:
        assert 0 < float(cells[5]) < 1, cells  # else nobody would need the cache
    lags = [cells for (name, other), cells in rows.items() if other == "the write itself"]
    assert len(lags) == 4
    for cells in lags:
        assert 0 < float(cells[1]) <= float(cells[2])
    assert re.search(r"changes followed, of a burst \(500\).*?[1-9][\d,]*\s*│$", shown, re.MULTILINE)


def test_a_ratio_is_of_the_first_to_the_second() -> None:
    assert Ratio("one", 1.0, "other", 4.0).ratio == 0.25
