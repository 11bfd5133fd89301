"""Fixtures for the tests that start servers of their own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded_probes import NAMES


@pytest.fixture(autouse=True)
def local_servers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about local servers, wherever the environment points the other tests to."""
    for name in NAMES:
        monkeypatch.delenv(f"NEXFIT_{name.upper()}_URL", raising=False)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for data of 100 MB and more; pytest would keep its own for three runs."""
    with tempfile.TemporaryDirectory(prefix="nexfit-scratch-") as folder:
        yield Path(folder)
