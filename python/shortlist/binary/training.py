"""Fitting a binarizer to embeddings: by reconstruction, by pairs, or by what exact search finds."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from .bridge import learn_reading
from .checkpoints import Checkpoint, fingerprint
from .data import Batch, Data, prepare
from .descent import descend, error, solve
from .losses import contrast, distill

if TYPE_CHECKING:
    from .module import RecurrentBinarizer

__all__ = ["Step", "train"]

Objective = Literal["reconstruction", "infonce", "distill"]
_SAVE_EVERY = 50  # steps
_ITQ_ROUNDS = 20


@dataclass(frozen=True)
class Step:
    """One round of the alternating least squares ("codes"), or one step of SGD ("network")."""

    stage: str
    step: int  # counts from 1
    steps: int
    loss: float  # "codes": the share of the variance that the codes lose


def train(
    self: RecurrentBinarizer,
    base: Any,
    pairs: Any = None,
    *,
    queries: Any = None,
    objective: Objective | None = None,
    metric: Literal["ip", "l2"] = "ip",
    rounds: int = 20,
    sweeps: int | None = None,
    steps: int = 400,
    batch: int = 256,
    lr: float = 3e-3,
    temperature: float = 0.05,
    hard_negatives: int = 5,
    queue: int = 8192,
    momentum: float = 0.99,
    neighbours: int = 16,
    rows: int = 32768,
    compatible_with: RecurrentBinarizer | None = None,
    old_base: Any = None,
    seed: int = 0,
    device: Any = None,
    progress: Callable[[Step], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> list[Step]:
    """Train on embeddings alone; the model that made them is not needed.

    base: (n, dim) floats, numpy or torch, what will be searched. queries: (q, dim) training
    queries, where they differ from the base; their mean makes scores of codes better, and the
    objectives that need pairs take theirs from them.
    objective:
    - "reconstruction", the default without pairs: `rounds` times codes that come nearest to the
      vectors under a linear decoder, and the decoder that is best for those codes; then maps that
      imitate the codes, which `encode` mends by `sweeps` (8). With hidden > 0, `steps` of SGD
      train the networks to reconstruct. This finds most of the true neighbours.
    - "infonce", the default with pairs: BEBR's symmetric InfoNCE of codes, each positive against
      the `hard_negatives` nearest negatives (0: all) among the batch and a queue of codes of the
      last `queue` items by a copy of the module that follows with `momentum`. No sweeps.
    - "distill": softmax over true neighbours' scores, to be met by the cosines of codes. No sweeps.
    pairs: (n, 2) integers, rows of queries (of the base, if there are none) and of the base that
    belong together, or two float arrays (n, dim) of such vectors. By default the `neighbours`
    nearest of each query (or of each of at most 10,000 rows of the base), by `metric`.
    batch: pairs in one step. lr: how much a step of AdamW changes weights, as a share of the size
    they begin with. temperature: what cosines are divided by. rows: at most so many rows of the
    base are used to fit decoders.
    compatible_with: a trained binarizer of as many code dimensions and bits, whose codes of
    old_base (row i: the old embedding of what row i of base is now) are in use. `read_query` with
    old=True then reads new queries so that they score those old codes, which stay as they are;
    under the other objectives the new codes also come near the old ones' in cosine.
    device: moves the module there first. progress: called after each round and step; what it
    raises, and Ctrl-C, end the training and leave a module that can be used.
    checkpoint: a file to save to, and to go on from if it is there; the result is the same as
    without the interruption. Same seed, data and machine: same weights.

    Returns the steps. Raises ValueError for options, pairs or data that do not fit, DimensionError
    for another dim, CorruptIndexError for a checkpoint that is none.
    """
    if objective is None:
        objective = "reconstruction" if pairs is None else "infonce"
    if objective not in ("reconstruction", "infonce", "distill"):
        raise ValueError(
            f"objective is {objective!r}; expected 'reconstruction', 'infonce' or 'distill'"
        )
    options = _Options(
        objective,
        metric,
        rounds,
        (8 if objective == "reconstruction" else 0) if sweeps is None else sweeps,
        0 if objective == "reconstruction" and not self.hidden and steps > 0 else steps,
        batch,
        lr,
        temperature,
        hard_negatives,
        queue,
        momentum,
        neighbours,
        rows,
        seed,
    )
    options.check()
    if device is not None:
        self.to(device)
    generator = torch.Generator().manual_seed(seed)
    data = prepare(self, base, pairs, queries, compatible_with, old_base, options, generator)
    saved = Checkpoint(
        checkpoint,
        {
            **asdict(options),
            "module": (self.dim, self.code_dim, self.bits, self.hidden),
            **{name: fingerprint(value) for name, value in data.inputs.items()},
        },
    )
    run = _Run(self, data, options, generator, saved, progress)
    modes = self.training
    try:
        run.go()
    finally:
        self.train(modes)
    return run.history


@dataclass(frozen=True)
class _Options:
    objective: Objective
    metric: Literal["ip", "l2"]
    rounds: int
    sweeps: int
    steps: int
    batch: int
    lr: float
    temperature: float
    hard_negatives: int
    queue: int
    momentum: float
    neighbours: int
    rows: int
    seed: int

    def check(self) -> None:
        if self.metric not in ("ip", "l2"):
            raise ValueError(f"metric is {self.metric!r}; expected 'ip' or 'l2'")
        least = {"rounds": 0, "sweeps": 0, "steps": 0, "batch": 2, "hard_negatives": 0, "queue": 0}
        for name, low in {**least, "neighbours": 1, "rows": 1}.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least {low}")
        for name in ("lr", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; expected more than 0")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum is {self.momentum}; expected 0 or more and less than 1")


class _Run:
    """One training, from nothing or from a checkpoint."""

    def __init__(
        self,
        module: RecurrentBinarizer,
        data: Data,
        options: _Options,
        generator: torch.Generator,
        saved: Checkpoint,
        progress: Callable[[Step], None] | None,
    ) -> None:
        self.module, self.data, self.options = module, data, options
        self.generator, self.saved, self.progress = generator, saved, progress
        self.history: list[Step] = []

    def go(self) -> None:
        module, data = self.module, self.data
        state = self.saved.load()
        if state is not None:
            self.history = [Step(*entry) for entry in state["history"]]
        with torch.no_grad():
            module.mean.copy_(data.mean)
            module.query_mean.copy_(data.query_mean)
            module.sweeps.fill_(self.options.sweeps)
            module.compatible.fill_(False)
            f = data.sample.to(module.mean) - module.mean
            if state is None or state["stage"] == "codes":
                self._begin(f)
                if self.options.objective == "reconstruction":
                    self._rounds(f, state)
        try:
            if self.options.steps:
                self._steps(f, state if state is not None and state["stage"] == "network" else None)
        finally:
            if data.old is not None:
                reading, shift, gain = learn_reading(data, self.options.seed)
                module.old_query.copy_(reading)
                module.old_shift.copy_(shift)
                module.old_gain.copy_(gain)
                module.compatible.fill_(True)

    def _begin(self, f: Tensor) -> None:
        """The module before training; from here on it can be used."""
        module = self.module
        module.initialise(f, _ITQ_ROUNDS, self.generator)
        if self.data.old_codes is not None and self.options.objective != "reconstruction":
            module.imitate(f, self.data.old_codes)
        module.query.copy_(solve(module.integers(f + module.mean, 0), f))
        module.fitted.fill_(True)

    def _rounds(self, f: Tensor, state: dict[str, Any] | None) -> None:
        module, rounds = self.module, self.options.rounds
        if rounds == 0:
            return
        if state is not None:
            codes, done = state["codes"].to(f), state["step"]
            decoder = state["decoder"].to(f)
        else:
            codes, done = module.integers(f + module.mean, 0), 0
            decoder = solve(codes, f)
        try:
            for at in range(done + 1, rounds + 1):
                better = descend(f, codes, decoder, module.levels, 3 if at == rounds else 1)
                codes, decoder = better, solve(better, f)
                self._tell(Step("codes", at, rounds, error(f, codes, decoder)), codes, decoder)
        finally:
            module.imitate(f, codes)
            module.query.copy_(decoder)

    def _tell(self, step: Step, codes: Tensor, decoder: Tensor) -> None:
        self.history.append(step)
        self.saved.save(
            {
                "stage": "codes",
                "step": step.step,
                "codes": codes.to(torch.int16).cpu(),
                "decoder": decoder.cpu(),
                "history": self._told(),
            }
        )
        if self.progress:
            self.progress(step)

    def _told(self) -> list[tuple[str, int, int, float]]:
        return [(s.stage, s.step, s.steps, s.loss) for s in self.history]

    def _steps(self, f: Tensor, state: dict[str, Any] | None) -> None:
        module, options = self.module, self.options
        optimiser = torch.optim.AdamW(_groups(module), weight_decay=1e-4)
        teacher = copy.deepcopy(module).requires_grad_(False)
        keys = _Queue(options.queue if options.objective == "infonce" else 0, module)
        done = 0
        if state is not None:
            module.load_state_dict(state["module"])
            teacher.load_state_dict(state["teacher"])
            optimiser.load_state_dict(state["optimiser"])
            keys.load(state["keys"])
            self.generator.set_state(state["generator"])
            done = state["step"]
        module.train()
        try:
            for at in range(done + 1, options.steps + 1):
                for group in optimiser.param_groups:
                    group["lr"] = group["share"] * options.lr * _schedule(at / options.steps)
                loss = self._loss(self.data.batch(options, self.generator), teacher, keys)
                number = float(loss.detach())
                if not math.isfinite(number):
                    raise ValueError(f"the loss became {number} in step {at}; lower lr")
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimiser.step()
                _follow(teacher, module, options.momentum)
                step = Step("network", at, options.steps, number)
                self.history.append(step)
                if at % _SAVE_EVERY == 0 or at == options.steps:
                    self.saved.save(
                        {
                            "stage": "network",
                            "step": at,
                            "module": module.state_dict(),
                            "teacher": teacher.state_dict(),
                            "optimiser": optimiser.state_dict(),
                            "keys": keys.state(),
                            "generator": self.generator.get_state(),
                            "history": self._told(),
                        }
                    )
                if self.progress:
                    self.progress(step)
        finally:
            if options.objective != "reconstruction":
                with torch.no_grad():
                    codes = module.integers(f + module.mean, 0)
                    module.query.copy_(solve(codes, f))

    def _loss(self, batch: Batch, teacher: RecurrentBinarizer, keys: _Queue) -> Tensor:
        module, options = self.module, self.options
        if options.objective == "reconstruction":
            f = batch.y - module.mean
            lost: Tensor = f - module(batch.y) @ module.query
            return lost.square().sum() / f.square().sum()
        x, y = module(torch.cat([batch.x, batch.y])).split([len(batch.x), len(batch.y)])
        if options.objective == "distill":
            loss = distill(x, y, batch.exact, options.temperature)
            if batch.old is not None:
                loss = loss + distill(x, batch.old, batch.exact, options.temperature)
            return loss
        loss = contrast(
            x,
            y,
            batch.same,
            options.temperature,
            options.hard_negatives,
            keys.codes.to(x.dtype) if len(keys.codes) else None,
            batch.known(keys.ids),
        )
        if batch.old is not None:
            loss = loss + contrast(
                x, batch.old, batch.same, options.temperature, options.hard_negatives
            )
        if options.queue:
            with torch.no_grad():
                keys.push(teacher.integers(batch.y, 0), batch.y_ids)
        return loss


class _Queue:
    """Codes of the last items, as MoCo keeps them (He et al. 2020)."""

    def __init__(self, size: int, module: RecurrentBinarizer) -> None:
        self._size = size
        self.codes = torch.empty((0, module.code_dim), dtype=torch.int16, device=module.mean.device)
        self.ids = torch.empty(0, dtype=torch.int64, device=module.mean.device)

    def push(self, codes: Tensor, ids: Tensor) -> None:
        self.codes = torch.cat([self.codes, codes.to(torch.int16)])[-self._size :]
        self.ids = torch.cat([self.ids, ids])[-self._size :]

    def state(self) -> tuple[Tensor, Tensor]:
        return self.codes, self.ids

    def load(self, state: tuple[Tensor, Tensor]) -> None:
        self.codes, self.ids = (part.to(self.ids.device) for part in state)


def _groups(module: RecurrentBinarizer) -> list[dict[str, Any]]:
    """Parameters, each to be changed in proportion to the size that those like it begin with."""
    groups: list[dict[str, Any]] = []
    for part in module.maps():
        size = float(part.skip.weight.detach().square().mean().sqrt().clamp(min=1e-6))
        linear: list[torch.nn.Parameter] = list(part.skip.parameters())
        if part.network is not None:
            linear += part.network.last.parameters()
            inner = [*part.network.first.parameters(), *part.network.norm.parameters()]
            groups.append({"params": inner, "share": 1.0})
        groups.append({"params": linear, "share": size})
    return groups


def _schedule(share: float) -> float:
    """Up in the first tenth of the steps, down to 0 as a cosine."""
    return min(share / 0.1, 0.5 * (1 + math.cos(math.pi * share)))


@torch.no_grad()
def _follow(teacher: RecurrentBinarizer, module: RecurrentBinarizer, momentum: float) -> None:
    for slow, new in zip(teacher.parameters(), module.parameters(), strict=True):
        slow.lerp_(new, 1 - momentum)
    for held, now in zip(teacher.buffers(), module.buffers(), strict=True):
        held.copy_(now)
