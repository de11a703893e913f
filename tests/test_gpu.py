"""Finding and loading the CUDA plugin, with and without one, and with and without a GPU."""

from __future__ import annotations

import sys

import pytest
import shortlist
from shortlist import _core, gpu
from shortlist._core import _gpu


@pytest.fixture
def built() -> str:
    """The plugin's file; there need be no GPU."""
    path = gpu.plugin_path()
    if path is None:
        pytest.skip("there is no CUDA plugin; pip install shortlist-cu13")
    return str(path)


def test_without_a_plugin(monkeypatch):
    monkeypatch.delenv("SHORTLIST_CUDA", raising=False)
    own = sys.modules["shortlist.gpu.plugin"]
    monkeypatch.setattr(own, "_PACKAGE", "shortlist_of_no_name")
    assert gpu.plugin_path() is None
    assert shortlist.get_num_gpus() == 0
    for call in (gpu.plugin, gpu.devices):
        with pytest.raises(shortlist.UnsupportedError, match="pip install shortlist-cu13"):
            call()
    assert "pip install shortlist-cu13" in shortlist.doctor().gpu


@pytest.mark.parametrize("value", ["0", ""])
def test_switched_off(monkeypatch, value):
    monkeypatch.setenv("SHORTLIST_CUDA", value)
    assert shortlist.get_num_gpus() == 0
    with pytest.raises(shortlist.UnsupportedError, match="SHORTLIST_CUDA"):
        gpu.plugin()


def test_what_is_no_plugin(monkeypatch, tmp_path):
    other = tmp_path / "shortlist_cuda.so"
    other.write_text("no library")
    for path in (tmp_path / "absent.so", other, _core.__file__):
        monkeypatch.setenv("SHORTLIST_CUDA", str(path))
        assert shortlist.get_num_gpus() == 0
        with pytest.raises(shortlist.UnsupportedError, match="plugin"):
            gpu.devices()


def test_importing_does_not_look_for_it(python):
    said = python("""
import os, sys
os.environ["SHORTLIST_CUDA"] = "/nowhere"
import shortlist
print("shortlist.gpu" in sys.modules, shortlist.get_num_gpus())
""")
    assert said.split() == ["False", "0"]


def test_a_plugin_is_loaded_and_tells_what_is_missing(built):
    plugin = _gpu.Plugin(built)
    assert plugin.path == built
    assert plugin.versions()[0] >= 13000
    if shortlist.get_num_gpus():
        found = gpu.devices()
        assert all(d.capability >= (8, 0) and 0 < d.free <= d.memory for d in found)
    else:
        with pytest.raises(shortlist.UnsupportedError, match="no GPU can be used"):
            gpu.devices()
        for call in (
            lambda: plugin.describe(0),
            lambda: _gpu.Memory(_gpu.Engine(plugin, 0), 1),
        ):
            with pytest.raises(shortlist.UnsupportedError, match="no GPU can be used"):
                call()
    assert built in shortlist.doctor().gpu


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_the_plugin_needs(built, python):
    """The C and C++ libraries only: the CUDA runtime is inside, and the driver's is looked for."""
    mapped = python(f"""
from shortlist._core import _gpu
before = open("/proc/self/maps").read()
_gpu.Plugin({built!r})
new = [l.split()[-1] for l in open("/proc/self/maps") if l.split()[-1] not in before]
print(*sorted({{n.rsplit("/", 1)[1] for n in new if "/" in n}}))
""")
    assert "shortlist_cuda.so" in mapped.split()
    assert set(mapped.split()) <= {"shortlist_cuda.so", "librt.so.1", "libpthread.so.0"}
