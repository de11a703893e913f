"""Training that can be taken up again: one file, written whole or not at all."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shortlist import CorruptIndexError

_FORMAT = "shortlist.binary training 1"


class Checkpoint:
    """A file of the state of one training; settings say which training that is.

    path: None for no file at all. settings: what must be the same when it goes on.
    """

    def __init__(self, path: str | os.PathLike[str] | None, settings: dict[str, Any]) -> None:
        self._path = None if path is None else Path(path)
        self._settings = {name: repr(value) for name, value in settings.items()}

    def load(self) -> dict[str, Any] | None:
        """The state last saved; None if there is no file yet.

        Raises CorruptIndexError for a file that is none of ours or damaged, and ValueError for
        one of a training with other settings or data.
        """
        if self._path is None or not self._path.exists():
            return None
        try:
            held = torch.load(self._path, map_location="cpu", weights_only=True)
            if held["format"] != _FORMAT:
                raise ValueError(f"its format is {held['format']!r}")
            settings, state = dict(held["settings"]), dict(held["state"])
        except OSError:
            raise
        except Exception as error:  # torch raises many kinds
            raise CorruptIndexError(
                f"{self._path} is no checkpoint of shortlist.binary, or is damaged: {error}"
            ) from error
        differ = [n for n in self._settings if settings.get(n) != self._settings[n]]
        if differ:
            raise ValueError(
                f"{self._path} is of a training with another {', '.join(differ)}; "
                "pass the same, or another path"
            )
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replaces the file by one of this state."""
        if self._path is None:
            return
        beside = self._path.with_name(self._path.name + ".part")
        with open(beside, "wb") as file:
            torch.save({"format": _FORMAT, "settings": self._settings, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)


def fingerprint(x: Tensor | None) -> str:
    """Shape and a checksum of at most a thousand rows: tells one data set from another."""
    if x is None:
        return "none"
    some = x[:: max(1, len(x) // 1000)].detach().float().cpu().contiguous().numpy()
    return f"{tuple(x.shape)} {zlib.crc32(some.tobytes()):08x}"
