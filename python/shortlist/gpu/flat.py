"""Exact search on a GPU: every vector is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import (
    METRIC_INNER_PRODUCT,
    METRIC_L2,
    ArgumentError,
    DimensionError,
    IdError,
    IDSelector,
    IndexFlat,
    IndexFlatIP,
    IndexFlatL2,
    SearchParameters,
)
from .arrays import as_floats, empty, look, stream_of, to_numpy
from .index import MOST_NEAREST, GpuIndex, GpuIndexConfig, Queries
from .nearest import check_precision
from .resources import StandardGpuResources, Work
from .store import Growing, Store, passing_store

__all__ = [
    "GpuIndexFlat",
    "GpuIndexFlatConfig",
    "GpuIndexFlatIP",
    "GpuIndexFlatL2",
    "SearchParametersGpuFlat",
]

_CONVERSIONS = {"bfloat16": "f32_to_bf16", "tfloat32": "f32_to_tf32", "float16": "f32_to_f16"}
_FEW = 4  # queries, below which each by itself is as fast
_LEAST_KEPT, _KEPT = 64, 4  # coarse ones: so many, and so many times k
_UNIT_ROUNDOFF = 2.0**-24  # of float32
_CUT = 2.0**-10  # of float32 whose last 13 bits tensor cores do not read
_COPIED = 64 << 20  # bytes that go to an IndexFlat at a time


@dataclass(slots=True)
class GpuIndexFlatConfig(GpuIndexConfig):
    """Of GpuIndexFlat.

    useFloat16: store float16, half the memory.
    precision: of the products that choose candidates: "bfloat16" (6 bytes a value instead of 4
    from the first search of many queries on), "tfloat32", or "float32": no candidates, each query
    is compared with all vectors by itself.
    exact: prove each answer, as SearchParametersGpuFlat does.
    """

    useFloat16: bool = False
    precision: str = "bfloat16"
    exact: bool = False


class SearchParametersGpuFlat(SearchParameters):
    """What one search of a GpuIndexFlat does differently; None: as the index does.

    sel: IDSelector of the ids that may be returned. precision and exact: as GpuIndexFlatConfig.
    """

    def __init__(
        self,
        *,
        sel: IDSelector | None = None,
        precision: str | None = None,
        exact: bool | None = None,
    ) -> None:
        super().__init__(sel=sel)
        self.precision = precision
        self.exact = exact


class GpuIndexFlat(GpuIndex):
    """Search that compares every vector, on a GPU.

    Less than 4 queries are compared with all vectors in float32. More go through tensor cores,
    which multiply rounded numbers: the max(4k, 64) nearest by that (at most 2048) are compared
    again in float32. Distances are exact then, and so are the neighbours unless rounding hid one
    behind so many others. With `exact` each answer is proven by a bound on the rounding, and those
    that are not are searched again in tfloat32, then in float32.

    d: dimensions, or an IndexFlat whose vectors are copied. metric: METRIC_L2 or
    METRIC_INNER_PRODUCT. Attributes `precision` and `exact` may be set at any time.

    Raises UnsupportedError without the plugin or a GPU.
    """

    def __init__(
        self,
        resources: StandardGpuResources,
        d: int | IndexFlat,
        metric: int | GpuIndexFlatConfig | None = METRIC_L2,
        config: GpuIndexFlatConfig | None = None,
    ) -> None:
        if isinstance(d, IndexFlat):  # faiss's (resources, index, config)
            config = metric if isinstance(metric, GpuIndexFlatConfig) else config
            metric = d.metric_type
        if not isinstance(metric, int):
            raise TypeError(f"metric is a {type(metric).__name__}; expected METRIC_L2")
        source, dimensions = (d, d.d) if isinstance(d, IndexFlat) else (None, d)
        super().__init__(resources, dimensions, metric, config)
        self.precision: str = self._config.precision
        self.exact: bool = self._config.exact
        self._asked(None)
        self._clear()
        if source is not None:
            self.copyFrom(source)

    _config: GpuIndexFlatConfig

    @staticmethod
    def _default_config() -> GpuIndexFlatConfig:
        return GpuIndexFlatConfig()

    @property
    def use_tensor_cores(self) -> bool:
        """Whether many queries go through tensor cores; False sets precision "float32"."""
        return self.precision != "float32"

    @use_tensor_cores.setter
    def use_tensor_cores(self, value: bool) -> None:
        self.precision = "bfloat16" if value else "float32"

    def reset(self) -> None:
        """Removes every vector."""
        with self._resources._lock:
            self._clear()

    def _clear(self) -> None:
        conversion = "f32_to_f16" if self._halves else "as_they_are"
        self._rows = Store(self._engine, 4 * self.d, conversion)
        self._coarse: Store | None = None  # the same in bfloat16
        self._squares = Growing(self._engine, 4)
        self._largest = Growing(self._engine, 8)  # |x|^2, and |x - x'|^2 of the coarse ones
        self.ntotal = 0

    @property
    def _halves(self) -> bool:
        return self._config.useFloat16

    @property
    def _kind(self) -> str:
        return ("l2" if self._l2 else "ip") + ("_f16" if self._halves else "_f32")

    @property
    def _floats(self) -> int:
        """Numbers of a query of `scan`."""
        return self._rows.units * (8 if self._halves else 4)

    def _add(self, work: Work, queries: Queries, ids: npt.NDArray[np.int64] | None) -> None:
        n = self.ntotal
        self._rows.n = n  # what an add that failed left is written over
        if not self._largest.capacity:
            self._largest.reserve(work, 0, 1)
            zeros = np.zeros(2, np.float32)
            work.copy(self._largest.place, zeros.ctypes.data, zeros.nbytes)
        self._squares.reserve(work, n, n + queries.n)
        place, stride = queries.rows()
        self._rows.append(
            work,
            place,
            queries.n,
            stride,
            squares=self._squares.place,
            most_square=self._largest.place,
        )
        if self._coarse is not None:
            self._coarse.n = n
            self._append_coarse(work, self._coarse, place, queries.n, stride)

    def _append_coarse(self, work: Work, to: Store, place: int, n: int, stride: int) -> None:
        to.append(work, place, n, stride, most_error=self._largest.place + 4)

    def _coarse_rows(self, work: Work) -> Store:
        """The rows in bfloat16, made when there are none."""
        if self._coarse is None:
            self._order.writing(work.stream)
            made = Store(self._engine, 4 * self.d, "f32_to_bf16")
            self._append_coarse(work, made, self._rows.rows, self.ntotal, 0)
            self._coarse = made
        return self._coarse

    def _asked(self, params: SearchParameters | None) -> tuple[str, bool]:
        """Precision and exactness of a search."""
        precision, exact = self.precision, self.exact
        if isinstance(params, SearchParametersGpuFlat):
            precision = params.precision if params.precision is not None else precision
            exact = params.exact if params.exact is not None else exact
        check_precision(precision)
        return precision, exact

    def _through_tensor_cores(self, n: int, precision: str) -> bool:
        return n >= _FEW and precision != "float32" and self.ntotal > 0

    def _bytes_for(self, work: Work, n: int, k: int, params: SearchParameters | None) -> int:
        precision, exact = self._asked(params)
        alone = self._scan_job(None, n, k, None)
        bytes = work.room("scan", **alone, queries=0)
        if not self._through_tensor_cores(n, precision):
            return bytes
        kept = _kept(k)
        coarse = {**alone, "kind": self._coarse_kind(precision), "k": kept}
        bytes = max(bytes * exact, work.room("scan_many", **coarse, queries=0))
        return bytes + n * (8 * self._floats + 16 * kept + 16)

    def _search(
        self,
        work: Work,
        queries: Queries,
        k: int,
        params: SearchParameters | None,
        allowed: int | None,
        distances: int,
        ids: int,
    ) -> None:
        precision, exact = self._asked(params)
        if not self._through_tensor_cores(queries.n, precision):
            return self._scan(work, queries, k, allowed, distances, ids)
        if self._halves:
            precisions = ["float16"]
        else:
            precisions = [precision]
            if exact and precision == "bfloat16":
                precisions.append("tfloat32")
        kept, n = _kept(k), queries.n
        coarse, near = work.take(4 * n * kept), work.take(4 * n * kept)
        numbers = work.take(8 * n * kept)
        certificate = self._certificate(work, n, kept, k) if exact else None
        measures = (
            {name: certificate[name] for name in ("squares", "errors")} if certificate else {}
        )
        chosen: dict[str, Any] = {}
        place, stride = queries.rows()
        for precision in precisions:
            rows = self._coarse_rows(work) if precision == "bfloat16" else self._rows
            with work.passing():
                work.run_in_room(
                    "scan_many",
                    kind=self._coarse_kind(precision),
                    rows=rows.rows,
                    n=self.ntotal,
                    units_per_row=rows.units,
                    queries=passing_store(
                        work, place, n, stride, 4 * self.d, _CONVERSIONS[precision], **measures
                    ),
                    queries_n=n,
                    k=kept,
                    allowed=allowed,
                    bias=self._squares.place if self._l2 else None,
                    distances=coarse,
                    numbers=numbers,
                    **chosen,
                )
            work.run(
                "rescore",
                kind=self._kind,
                rows=self._rows.rows,
                n=self.ntotal,
                stride=0,
                bytes=self._rows.width,
                queries=queries.padded(self._floats),
                queries_n=n,
                candidates=numbers,
                candidates_n=n * kept,
                distances=near,
            )
            work.run(
                "select",
                distances=near,
                rows_n=n,
                n=kept,
                names=numbers,
                k=k,
                negate=not self._l2,
                least=distances,
                numbers=ids,
                **chosen,
            )
            if certificate is None:
                return
            error: dict[str, Any] = {"row_error": _CUT if precision == "tfloat32" else 0.0}
            if precision == "bfloat16":
                error = {"most_error": self._largest.place + 4}
            work.run("certify", coarse=coarse, exact=distances, **certificate, **error)
            chosen = {name: certificate[name] for name in ("chosen", "chosen_n")}
        self._scan(work, queries, k, allowed, distances, ids, chosen)

    def _certificate(self, work: Work, n: int, kept: int, k: int) -> dict[str, Any]:
        """A `certify` job but for what it is about."""
        return {
            "queries_n": n,
            "kept": kept,
            "k": k,
            "inner_product": not self._l2,
            "negate": not self._l2,
            "squares": work.take(4 * n),
            "errors": work.take(4 * n),
            "most_square": self._largest.place,
            "slack": self.d * _UNIT_ROUNDOFF,
            "chosen": work.take(4 * n),
            "chosen_n": work.take(4),
        }

    def _scan_job(self, queries: int | None, n: int, k: int, allowed: int | None) -> dict[str, Any]:
        return {
            "kind": self._kind,
            "rows": self._rows.rows,
            "n": self.ntotal,
            "units_per_row": self._rows.units,
            "queries_n": n,
            "k": k,
            "allowed": allowed,
            **({} if queries is None else {"queries": queries}),
        }

    def _scan(
        self,
        work: Work,
        queries: Queries,
        k: int,
        allowed: int | None,
        distances: int,
        ids: int,
        chosen: dict[str, Any] | None = None,
    ) -> None:
        """Each query by itself, or those that are chosen."""
        job = self._scan_job(queries.padded(self._floats), queries.n, k, allowed)
        work.run_in_room(
            "scan",
            **job,
            **(chosen or {}),
            negate=not self._l2,
            distances=distances,
            numbers=ids,
        )

    def _coarse_kind(self, precision: str) -> str:
        return self._kind.replace("f32", "bf16") if precision == "bfloat16" else self._kind

    def reconstruct(self, key: int) -> npt.NDArray[np.float32]:
        """The stored vector (d,) of id `key`, on the host. Raises IdError if it is not there."""
        vector: npt.NDArray[np.float32] = self.reconstruct_n(key, 1)[0]
        return vector

    def reconstruct_n(self, n0: int = 0, ni: int = -1) -> npt.NDArray[np.float32]:
        """The vectors (ni, d) of ids n0 to n0 + ni - 1, on the host; ni = -1 means up to ntotal.
        Raises IdError for ids that are not there."""
        if ni == -1:
            ni = self.ntotal - n0
        if n0 < 0 or ni < 0 or n0 + ni > self.ntotal:
            raise IdError(
                f"ids {n0} to {n0 + ni - 1} were asked for; there are 0 to {self.ntotal - 1}"
            )
        with self._reading() as work:
            rows = self._rows.read(work, n0, ni)
        return rows.view(np.float16 if self._halves else np.float32).astype(np.float32, copy=False)

    def reconstruct_batch(self, key: Any, *, stream: Any = None) -> Any:
        """The vectors (n, d) float32 of n ids.

        key: integers; of an int64 tensor on the index's GPU the vectors stay there, and ids that
        are not there give zeros: nothing is waited for. Else on the host, and such ids raise
        IdError.
        """
        seen = look(key, "key")
        if len(seen.shape) != 1 or not seen.dtype.startswith(("int", "uint")):
            raise DimensionError(
                f"key is {seen.dtype} of shape {seen.shape}; expected integers (n,)"
            )
        if not self._is_here(seen, "key"):
            return self._reconstruct_here(to_numpy(seen).astype(np.int64))
        if seen.dtype != "int64" or not seen.contiguous:
            raise TypeError(f"key is {seen.dtype} on the device; expected int64 in C order")
        at = stream_of(seen, stream, self._resources._default_stream(self._config.device))
        (n,), floats = seen.shape, self._floats
        stored = "float16" if self._halves else "float32"
        rows = empty(seen, (n, floats), stored, at)
        with self._resources._work(self._config.device, at) as work:
            self._order.reading(at)
            self._rows.gather(work, seen.place, n, rows.place)
        return as_floats(rows, "key", at).given[:, : self.d]

    def _reconstruct_here(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        wrong = ids[(ids < 0) | (ids >= self.ntotal)]
        if len(wrong):
            raise IdError(f"id {wrong[0]} is not there; there are 0 to {self.ntotal - 1}")
        with self._reading() as work:
            numbers = work.put(np.ascontiguousarray(ids))
            rows = work.take(len(ids) * self._rows.units * 16)
            self._rows.gather(work, numbers, len(ids), rows)
            stored = np.float16 if self._halves else np.float32
            out = work.get(rows, (len(ids), self._rows.units * 16), np.uint8).view(stored)
        return out[:, : self.d].astype(np.float32)

    def copyFrom(self, index: IndexFlat) -> None:
        """Takes the vectors of an IndexFlat instead of its own, which go. Raises ArgumentError for
        another d or metric."""
        if not isinstance(index, IndexFlat):
            raise TypeError(f"index is a {type(index).__name__}; expected an IndexFlat")
        self._check_like(index)
        self.reset()
        step = max(1, _COPIED // (4 * self.d))
        for begin in range(0, index.ntotal, step):
            self._store(index.reconstruct_n(begin, min(step, index.ntotal - begin)), None, None)

    def copyTo(self, index: IndexFlat) -> None:
        """Puts the vectors into an IndexFlat, whose own go. Raises ArgumentError for another d or
        metric."""
        if not isinstance(index, IndexFlat):
            raise TypeError(f"index is a {type(index).__name__}; expected an IndexFlat")
        self._check_like(index)
        index.reset()
        step = max(1, _COPIED // (4 * self.d))
        for begin in range(0, self.ntotal, step):
            rows = self.reconstruct_n(begin, min(step, self.ntotal - begin))
            index.add(rows, allow_nan=True)


class GpuIndexFlatL2(GpuIndexFlat):
    """GpuIndexFlat by squared L2 distance."""

    def __init__(
        self,
        resources: StandardGpuResources,
        d: int | IndexFlatL2,
        config: GpuIndexFlatConfig | None = None,
    ) -> None:
        _check_metric(d, METRIC_L2)
        super().__init__(resources, d, METRIC_L2, config)


class GpuIndexFlatIP(GpuIndexFlat):
    """GpuIndexFlat by inner product, largest first."""

    def __init__(
        self,
        resources: StandardGpuResources,
        d: int | IndexFlatIP,
        config: GpuIndexFlatConfig | None = None,
    ) -> None:
        _check_metric(d, METRIC_INNER_PRODUCT)
        super().__init__(resources, d, METRIC_INNER_PRODUCT, config)


def _check_metric(index: Any, metric: int) -> None:
    if isinstance(index, IndexFlat) and index.metric_type != metric:
        raise ArgumentError(f"{index} has another metric; use GpuIndexFlat")


def _kept(k: int) -> int:
    """How many coarse ones are compared again."""
    return min(max(_KEPT * k, _LEAST_KEPT), MOST_NEAREST)
