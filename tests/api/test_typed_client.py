"""The typed client's recipe (docs/typed-client.md): it builds, prints what a server says, and refuses wrong fields."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from nexfit.operations.web_build import Node, find_node
from nexfit.settings import Settings

from .test_raw_http import listening

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "typed-client"


def npm(node: Node, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(node.program), str(node.npm), *arguments]
    environment = {"PATH": f"{node.program.parent}:/usr/bin:/bin", "HOME": str(Path.home())}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


@pytest.mark.timeout(300)
async def test_the_recipe_runs_and_wrong_fields_do_not_compile(settings: Settings, tmp_path: Path) -> None:
    node = find_node()
    folder = tmp_path / "client"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "out"))
    shutil.copy(ROOT / "schema.graphql", folder)
    for step in (("ci", "--no-audit", "--no-fund"), ("run", "build")):
        done = await asyncio.to_thread(npm, node, folder, *step)
        assert done.returncode == 0, done.stdout + done.stderr
    async with listening(settings) as port:
        done = await asyncio.to_thread(npm, node, folder, "start", "--", f"http://127.0.0.1:{port}/graphql")
    assert done.returncode == 0, done.stdout + done.stderr
    *_, facility, first, second, third, refused = done.stdout.splitlines()
    assert "Spor" in facility
    assert all(" owes " in line and line.endswith(" TRY") for line in (first, second, third))
    assert refused == "INVALID_CREDENTIALS"
    source = (folder / "src" / "overview.ts").read_text(encoding="utf-8")
    wrong = source.replace("member.user?.firstName", "member.user?.shoeSize").replace("first: 3", "first: 'three'")
    (folder / "src" / "overview.ts").write_text(wrong, encoding="utf-8")
    done = await asyncio.to_thread(npm, node, folder, "exec", "tsc")
    assert done.returncode != 0
    for fault in ("'shoeSize' does not exist", "Type 'string' is not assignable to type 'number'"):
        assert fault in done.stdout, done.stdout
