"""The benchmark of guard, limits and rights runs, and leaves one thing out at a time."""

from __future__ import annotations

import pytest

from bench import guard


@pytest.mark.timeout(600)
def test_every_variant_is_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEXFIT_MONGO_URL", "NEXFIT_POSTGRES_URL", "NEXFIT_REDIS_URL"):
        monkeypatch.setenv(name, "")  # put back afterwards, whatever the benchmark sets
        monkeypatch.delenv(name)
    monkeypatch.setattr(guard, "measure", _short(guard.measure))
    assert guard.main(["--quick"]) == 0
    shown = capsys.readouterr().out
    for name in ("as it is", "log line", "points", "cost", "rights", "engine and answer"):
        assert name in shown


def _short(measure):  # type: ignore[no-untyped-def]
    async def few(*_: int) -> dict[str, float]:
        taken: dict[str, float] = await measure(5, 1)
        assert all(value > 0 for value in taken.values())
        return taken

    return few
