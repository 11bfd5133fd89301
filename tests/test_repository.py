"""The repository itself: the compose file, the lock file, and what no tracked file may hold."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

ROOT = Path(__file__).parents[1]

REGISTRIES = frozenset(
    {
        "a4aa2ac280bb8d1a",
        "c899567ee9068517",
        "0dc11026ac75c015",
        "e680c440a2e92079",
        "70bb4000cd2fab03",
    }
)
"""Hosts of package registries by their digest, because this file may not name them either."""


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    # The specification allows YAML merge keys; the validator wants them resolved, which the YAML parser does.
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def test_compose_file_is_valid(compose: dict[str, Any]) -> None:
    parsed = PyCompose.from_yaml(yaml.safe_dump(compose))
    parsed.validate()
    assert set(parsed.service_names()) == {"mongo", "postgres", "valkey", "migrate", "api"}
    broken = {**compose, "services": {**compose["services"], "api": {"image": "x", "helthcheck": {}}}}
    with pytest.raises(ValueError, match="helthcheck"):
        PyCompose.from_yaml(yaml.safe_dump(broken))


def test_compose_services_start_in_order_and_are_probed(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("mongo", "postgres", "valkey", "api"):
        assert services[name]["healthcheck"]["test"], name
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert services["migrate"]["depends_on"]["mongo"]["condition"] == "service_healthy"
    assert services["api"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert any(part.startswith("max_prepared_transactions=") for part in services["postgres"]["command"])
    assert "--replSet" in " ".join(services["mongo"]["entrypoint"])


def test_compose_has_no_password_of_its_own(compose: dict[str, Any]) -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    for variable in (
        "NEXFIT_MONGO_PASSWORD",
        "NEXFIT_POSTGRES_PASSWORD",
        "NEXFIT_REDIS_PASSWORD",
        "NEXFIT_AUTH_SECRET",
        "NEXFIT_ENCRYPTION_KEYS",
        "NEXFIT_ENCRYPTION_INDEX_KEY",
    ):
        assert f"${{{variable}:?" in text, f"{variable} must be asked for"
        assert f"${{{variable}:-" not in text, f"{variable} must have no default"


def test_lock_file_has_hashes_and_no_addresses() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    requirements = [line for line in text.splitlines() if re.match(r"[a-z0-9]", line)]
    assert len(requirements) > 50
    assert len(re.findall(r"^[a-z0-9].* \\\n    --hash=sha256:", text, re.MULTILINE)) == len(requirements)
    assert "://" not in text
    # No option but the hashes: none that says where packages come from.
    assert set(re.findall(r"(?:^|\s)(--?[a-z][a-z-]*)", text)) == {"--hash"}


def _digest(host: str) -> str:
    return hashlib.sha256(host.lower().encode()).hexdigest()[:16]


def test_no_file_names_a_registry_or_a_path_of_a_machine(tracked: list[Path]) -> None:
    host = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)
    folder = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/\w")  # somebody's
    found = []
    for path in tracked:
        if path == Path(__file__):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        named = [name[0] for name in host.finditer(text) if _digest(name[0]) in REGISTRIES]
        named += [match[0] for match in folder.finditer(text)]
        found += [f"{path.relative_to(ROOT)}: {name}" for name in named]
    assert found == []


def test_modules_stay_small(tracked: list[Path]) -> None:
    large = {
        str(path.relative_to(ROOT)): lines
        for path in tracked
        if path.suffix == ".py" and "src" in path.parts and (lines := len(path.read_text().splitlines())) > 400
    }
    assert large == {}
