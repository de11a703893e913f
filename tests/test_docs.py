"""Every block of Python in docs/ runs, page by page, and says what the page says it does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def run(page: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, object]:
    """The names a page leaves behind. Blocks build on each other; files go to `folder`."""
    monkeypatch.chdir(folder)
    names: dict[str, object] = {"__name__": page}
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S)
    assert blocks, f"{page} has no Python to run"
    for i, block in enumerate(blocks):
        exec(compile(block, f"{page}, block {i + 1}", "exec"), names)
    return names


def test_tutorial(monkeypatch, tmp_path, capsys):
    pytest.importorskip("torch")
    names = run("tutorial.md", monkeypatch, tmp_path)
    said = capsys.readouterr().out
    gains = [tuple(map(float, found)) for found in re.findall(r"nDCG@10 (\S+) -> (\d\.\d+)", said)]
    assert len(gains) == 2
    for before, after in gains:
        assert after > before + 0.02
    assert said.count("daughter cell: a cell formed by the division") == 2
    assert names["index"].hnsw.efSearch > 16  # what tune chose, after save and open
    assert (tmp_path / "scorer.pt").is_file()


def test_long_contexts(monkeypatch, tmp_path, capsys):
    pytest.importorskip("torch")
    names = run("how-to/long-contexts.md", monkeypatch, tmp_path)
    assert names["error"] < 0.2
    assert max(map(len, (names["ids"][0], names["ids"][1]))) < 0.2 * names["n"]
    assert "of 8000 tokens, error 0." in capsys.readouterr().out


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda p: p.name)
def test_pages_link_to_what_is_there(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"
