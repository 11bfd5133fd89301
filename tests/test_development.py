"""`nexfit dev` and the other commands, as a new user runs them: real processes, a real terminal's signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nexfit import local_servers
from nexfit.cli import app
from nexfit.embedded import folder
from tests.ports import free_port

NEXFIT = Path(sys.executable).with_name("nexfit")
ROOT = Path(__file__).parents[1]


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("NEXFIT_")}


class Dev:
    """A running `nexfit dev`."""

    def __init__(self, data_dir: Path, log: Path, *options: str) -> None:
        self.port = free_port()
        self.log = log
        self.started = time.monotonic()
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [NEXFIT, "dev", "--port", str(self.port), "--data-dir", str(data_dir), *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                cwd=ROOT,
            )

    def wait_until_up(self) -> float:
        while "Ctrl-C stops" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < self.started + 200, self.log.read_text()
            time.sleep(0.1)
        return time.monotonic() - self.started

    def post(self, query: str, token: str | None = None) -> Any:
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/graphql", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("dev") / "data"


def _nexfit(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NEXFIT, *arguments], env=_environment() | environment, cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(600)
def test_dev_serves_the_demo_and_keeps_it(data_dir: Path, tmp_path: Path) -> None:
    dev = Dev(data_dir, tmp_path / "first.log")
    try:
        dev.wait_until_up()
        shown = dev.log.read_text()
        assert f"http://127.0.0.1:{dev.port}/graphql" in shown
        assert "owner@demo.nexfit.app" in shown
        login = 'mutation { login(input: {email: "owner@demo.nexfit.app", password: "nexfit-demo"}) { accessToken } }'
        token = dev.post(login)["data"]["login"]["accessToken"]
        members = "{ viewer { facilities { nodes { members { totalCount } } } } }"
        before = dev.post(members, token)
        assert sum(node["members"]["totalCount"] for node in before["data"]["viewer"]["facilities"]["nodes"]) > 200
        # Another command meanwhile uses the same servers.
        verified = _nexfit("migrate", "verify", "--data-dir", str(data_dir))
        assert verified.returncode == 0, verified.stdout + verified.stderr
        second = _nexfit("dev", "--port", str(dev.port), "--data-dir", str(data_dir))
        assert second.returncode == 1
        assert f"port {dev.port} is in use" in second.stderr
        elsewhere = _nexfit("dev", "--port", str(free_port()), "--data-dir", str(data_dir))
        assert elsewhere.returncode == 1
        assert "Traceback" not in elsewhere.stderr
    finally:
        code = dev.interrupt()
    assert code == 0, dev.log.read_text()
    shown = dev.log.read_text().partition("Ctrl-C stops everything and keeps the data.")[2]
    assert shown.endswith("Stopping the servers …\n")
    assert '"info"' not in shown  # a warning is due where the machine was too slow for a store's time limit
    assert "Traceback" not in shown
    assert _processes_of(data_dir) == []
    again = Dev(data_dir, tmp_path / "second.log")
    try:
        seconds = again.wait_until_up()
        # The token was signed with the data folder's own secret, so it still holds.
        assert again.post(members, token) == before
        print(f"second start: {seconds:.1f} s")
    finally:
        again.interrupt()
    assert _processes_of(data_dir) == []


def test_demo_data_is_not_loaded_twice(data_dir: Path) -> None:
    seeded = _nexfit("seed", "--data-dir", str(data_dir))
    assert seeded.returncode == 1
    assert "--reset" in seeded.stderr


def test_wrong_settings_are_named_without_their_value() -> None:
    started = _nexfit("serve", NEXFIT_HTTP_PORT="secret-value", NEXFIT_AUTH_SECRET="short")
    assert started.returncode == 1
    assert "NEXFIT_HTTP_PORT" in started.stderr
    assert "NEXFIT_AUTH_SECRET" in started.stderr
    assert "secret-value" not in started.stderr
    assert "Traceback" not in started.stderr


def test_an_unreachable_store_is_one_line() -> None:
    nowhere = {
        "NEXFIT_MONGO_URL": "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300",
        "NEXFIT_POSTGRES_URL": "postgresql://somebody:hidden@127.0.0.1:1/nexfit",
        "NEXFIT_REDIS_URL": "redis://127.0.0.1:1/0",
    }
    found = _nexfit("migrate", "status", **nowhere)
    assert found.returncode == 1
    assert "postgres" in found.stderr
    assert "hidden" not in found.stderr
    assert "Traceback" not in found.stderr


def test_the_api_does_not_serve_without_keys() -> None:
    started = _nexfit("serve")
    assert started.returncode == 1
    assert "NEXFIT_ENCRYPTION_KEYS" in started.stderr
    assert "Traceback" not in started.stderr


def test_audit_entries_are_verified_from_the_command_line(data_dir: Path) -> None:
    verified = _nexfit("audit", "verify", "--data-dir", str(data_dir))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "Every entry is as it was sealed." in verified.stdout


def test_keys_are_rotated_from_the_command_line(data_dir: Path) -> None:
    """Over the demo of an earlier test, as an operator would: a second key, made active, then the old one gone."""
    files = json.loads((data_dir / "encryption-keys.json").read_text())
    made = dict(line.split("=", 1) for line in _nexfit("keys", "new").stdout.split())
    new_id = made["NEXFIT_ENCRYPTION_KEYS"].partition(":")[0]
    both = f"{files['NEXFIT_ENCRYPTION_KEYS']},{made['NEXFIT_ENCRYPTION_KEYS']}"
    where = ("--data-dir", str(data_dir))
    unclear = _nexfit("keys", "rotate", *where, NEXFIT_ENCRYPTION_KEYS=both)
    assert unclear.returncode == 1
    assert "NEXFIT_ENCRYPTION_ACTIVE" in unclear.stderr
    rotated = _nexfit("keys", "rotate", *where, NEXFIT_ENCRYPTION_KEYS=both, NEXFIT_ENCRYPTION_ACTIVE=new_id)
    assert rotated.returncode == 0, rotated.stdout + rotated.stderr
    counted = [line for line in rotated.stdout.splitlines() if "gym_owner.taxId" in line or "people's keys" in line]
    assert len(counted) == 2
    for line in counted:
        assert " 0 renewed" not in line
        assert line.endswith(" 0 left")
    # Who lost the new key is told so, and nothing is changed.
    lost = _nexfit("keys", "rotate", *where)
    assert lost.returncode == 1
    assert f"'{new_id}', which NEXFIT_ENCRYPTION_KEYS does not hold" in lost.stdout
    alone = _nexfit("keys", "status", *where, NEXFIT_ENCRYPTION_KEYS=made["NEXFIT_ENCRYPTION_KEYS"])
    assert f"{new_id} (active)" in alone.stdout
    assert "local" not in alone.stdout


def test_starting_over_leaves_a_folder_that_servers_start_in(tmp_path: Path) -> None:
    data = tmp_path / "data"
    folder.lock(data).release()
    for name in (local_servers.URLS_FILE, local_servers.KEYS_FILE, local_servers.SECRET_FILE):
        (data / name).write_text("{}")
    local_servers.delete_data(data)
    assert not data.exists()
    folder.lock(data).release()
    (data / "notes").write_text("mine")
    local_servers.delete_data(data)
    assert [path.name for path in data.iterdir()] == ["notes"]


@pytest.mark.parametrize(
    "command", ["", "dev", "serve", "seed", "keys", "keys rotate", "schema", "migrate", "migrate up", "import"]
)
def test_help_teaches(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0
    assert "Usage:" in shown.stdout


def _processes_of(data_dir: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(data_dir) in command:
            found.append(command)
    return found
