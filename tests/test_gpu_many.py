"""Many queries by tensor cores, stores, and what certifies them; on the host always, on a GPU with
-m gpu."""

from __future__ import annotations

import numpy as np
import pytest
import shortlist
from gpu_cases import Job, nearest, planes_of, rounded, scan_many

FLOATS = ["l2_f32", "l2_f16", "l2_bf16", "ip_f32", "ip_f16", "ip_bf16"]
BYTES = ["l2_u8", "l2_i8", "ip_u8", "ip_i8"]


def numbers(rng: np.random.Generator, kind: str, n: int, d: int) -> np.ndarray:
    if kind.endswith("u8"):
        return rng.integers(0, 256, (n, d)).astype(np.uint8)
    if kind.endswith("i8"):
        return rng.integers(-128, 128, (n, d)).astype(np.int8)
    return rng.normal(size=(n, d)).astype(np.float32)


def told(kind: str, rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    x, q = (rounded(kind, a).astype(float) for a in (rows, queries))
    if kind.startswith("ip"):
        return -(q @ x.T)
    return (rows.astype(float) ** 2).sum(1) - 2 * q @ x.T


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize(
    ("n", "queries", "d"), [(1, 1, 1), (33, 3, 5), (257, 129, 20), (700, 5, 70)]
)
def test_floats(engine, kind, n, queries, d):
    rng = np.random.default_rng(n + d)
    x, q = numbers(rng, kind, n, d), numbers(rng, kind, queries, d)
    want = told(kind, x, q)
    for k, chunks in ((1, 2), (10, 1), (300, 3)):
        distances, found = scan_many(engine(seed=k, lanes=64, chunks=chunks), kind, x, q, k)
        there = min(k, n)
        assert np.all(found[:, there:] == -1)
        assert np.all(distances[:, there:] == np.finfo(np.float32).max)
        own = np.take_along_axis(want, found[:, :there], 1)
        np.testing.assert_allclose(distances[:, :there], own, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(own, np.sort(want, 1)[:, :there], rtol=1e-4, atol=1e-4)
        assert all(len(set(row)) == there for row in found[:, :there].tolist())


@pytest.mark.parametrize("kind", BYTES)
@pytest.mark.parametrize(("n", "queries", "d"), [(40, 2, 3), (300, 130, 33), (600, 3, 150)])
def test_bytes_are_exact_and_ties_go_by_number(engine, kind, n, queries, d):
    rng = np.random.default_rng(d)
    x, q = numbers(rng, kind, n, d), numbers(rng, kind, queries, d)
    x[n // 2 :] = x[: n - n // 2]
    x[0], q[0] = (255, 255) if kind.endswith("u8") else (-128, -128)
    for k in (1, 20):
        got = scan_many(engine(seed=k, chunks=2), kind, x, q, k)
        for a, b in zip(got, nearest(told(kind, x, q), k), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("k", [2, 40])
def test_levels(engine, k):
    """Of which a search of many rows has several; their order must not matter."""
    rng = np.random.default_rng(k)
    x = np.sort(rng.integers(0, 256, (9000, 16)).astype(np.uint8), axis=0)  # near ones together
    q = rng.integers(0, 256, (3, 16)).astype(np.uint8)
    want = told("l2_u8", x, q)
    got = scan_many(engine(seed=k, chunks=2), "l2_u8", x, q, k)
    for a, b in zip(got, nearest(want, k), strict=True):
        np.testing.assert_array_equal(a, b)
    allowed = rng.random(9000) < 0.01
    want[:, ~allowed] = np.nan
    got = scan_many(engine(seed=k), "l2_u8", x, q, k, allowed)
    for a, b in zip(got, nearest(want, k), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["l2_u8", "ip_bf16"])
def test_more_equal_rows_than_there_is_room_for(engine, kind):
    rng = np.random.default_rng(1)
    x = np.repeat(numbers(rng, kind, 2, 9), [4500, 500], axis=0)
    q = numbers(rng, kind, 130, 9)
    want = told(kind, x, q)
    distances, found = scan_many(engine(seed=2, chunks=2), kind, x, q, 5)
    first = np.where(want[:, :1] < want[:, -1:], 0, 4500)
    np.testing.assert_array_equal(found, first + np.arange(5))
    np.testing.assert_allclose(distances, np.take_along_axis(want, found, 1), rtol=1e-5)


def test_nan_and_infinity(engine):
    x = np.ones((600, 8), np.float32)
    x[::2, 3] = np.nan
    x[1] = np.inf
    q = np.ones((2, 8), np.float32)
    q[1, 2] = np.nan
    for k in (1, 300, 400):
        distances, found = scan_many(engine(seed=1), "ip_bf16", x, q, k)
        assert found[0].tolist()[:300] == list(range(1, 600, 2))[:k]
        assert distances[0, 0] == -np.inf
        assert np.all(found[0, 300:] == -1)
        assert np.all(found[1] == -1)


@pytest.mark.parametrize("k", [1, 7])
def test_only_chosen_queries_are_searched(engine, k):
    rng = np.random.default_rng(6)
    x, q = numbers(rng, "ip_u8", 500, 8), numbers(rng, "ip_u8", 200, 8)
    chosen = np.array([3, 150, 199, 0], np.uint32)
    more = {"chosen": chosen, "chosen_n": np.array([3], np.uint32)}
    got = scan_many(engine(seed=1, chunks=2), "ip_u8", x, q, k, **more)
    want = nearest(told("ip_u8", x, q), k)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a[chosen[:3]], b[chosen[:3]])
    assert np.all(got[1][0].view(np.uint8) == 0xFF)
    assert np.all(np.isnan(got[0][0]))


def spread(values: np.ndarray) -> np.ndarray:
    """Signed bytes (n, m), m a multiple of 128, in the order that rows of bits are widened to."""
    w, j, i = np.meshgrid(np.arange(4), np.arange(8), np.arange(4), indexing="ij")
    order = (32 * w + j + 8 * i).ravel()
    blocks = values.reshape(len(values), -1, 128)[:, :, order]
    return np.ascontiguousarray(blocks.reshape(len(values), -1), np.int8)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("m", [128, 384])
def test_bit_planes(engine, bits, m):
    rng = np.random.default_rng(bits)
    n, queries = 300, 3
    codes, values = rng.integers(0, 1 << bits, (n, m)), rng.integers(-128, 128, (queries, m))
    codes[0], values[0] = (1 << bits) - 1, -128
    factors = rng.normal(size=(2, n)).astype(np.float32)
    terms = rng.normal(size=(2, queries)).astype(np.float32)
    offsets = ((1 << bits) - 1) * values.sum(1)
    near, scale = terms[:, :, None].astype(float)
    product = values @ codes.T - offsets[:, None] / 2
    want = np.maximum(near + factors[0] + factors[1] * scale * product, -50)
    job = Job(engine(seed=4, lanes=64, chunks=2))
    more = dict(zip(("add", "rescale"), map(job.put, factors), strict=True))
    more |= dict(zip(("near", "scale"), map(job.put, terms), strict=True))
    rows, q = job.store(planes_of(codes, bits)), job.store(spread(values))
    for k in (1, 20, 300):
        distances, found = job.found(
            "scan_many",
            queries,
            k,
            kind="planes",
            rows=rows,
            n=n,
            units_per_row=bits * m // 128,
            queries=q,
            plane=m // 128,
            bits=bits,
            query_bits=8,
            offset=job.put(offsets, np.int64),
            least=-50,
            **more,
        )
        size = np.abs(want).max()
        own = np.take_along_axis(want, found, 1)
        np.testing.assert_allclose(distances, own, atol=size * 1e-5)
        np.testing.assert_allclose(own, np.sort(want, 1)[:, :k], atol=size * 1e-5)


@pytest.mark.parametrize("bytes", [1, 16, 37])
def test_hamming(engine, bytes):
    rng = np.random.default_rng(bytes)
    x, q = (rng.integers(0, 256, (n, bytes)).astype(np.uint8) for n in (400, 5))
    bits = np.unpackbits(q, axis=1, bitorder="little").astype(np.int8)
    units = -(-bytes // 16)
    signs = np.zeros((5, units * 128), np.int8)
    signs[:, : 8 * bytes] = 1 - 2 * bits
    job = Job(engine(seed=3, chunks=2))
    got = job.found(
        "scan_many",
        5,
        30,
        kind="hamming",
        rows=job.store(x),
        n=400,
        units_per_row=units,
        queries=job.store(spread(signs)),
        near=job.put(bits.sum(1), np.float32),
    )
    differ = np.unpackbits(q[:, None] ^ x[None], axis=2).sum(2).astype(float)
    for a, b in zip(got, nearest(differ, 30), strict=True):
        np.testing.assert_array_equal(a, b)


# Numbers as float16 and bfloat16 have them: ties, subnormals, the largest, and what is beyond.
HARD = np.concatenate(
    [
        np.arange(0, 1 << 32, 65521, np.uint32),
        np.float32([65504, 65519.99, 65520, 6e-8, 2.9e-8, 2.99e-8, 0, -0.0, 1e-45]).view(np.uint32),
        (np.arange(1 << 16, dtype=np.uint32) << 16) + np.uint32(0x8000),
    ]
).view(np.float32)


@pytest.mark.parametrize("conversion", ["f32_to_f16", "f32_to_bf16", "f32_to_tf32"])
def test_conversions(engine, conversion):
    x = HARD[: len(HARD) // 7 * 7].reshape(-1, 7)
    job = Job(engine(seed=0))
    stored = job.store(x, conversion)
    wide = 4 if conversion.endswith("tf32") else 2
    units = -(-7 * wide // 16)
    raw = job.get(stored, (-(-len(x) // 32), units, 32, 16 // wide), f"<u{wide}")
    rows = raw.transpose(0, 2, 1, 3).reshape(-1, units * 16 // wide)[: len(x)]
    assert np.all(rows[:, 7:] == 0)
    got = rows[:, :7]
    ok = ~np.isnan(x)
    with np.errstate(over="ignore"):
        if conversion == "f32_to_f16":
            want = x.astype(np.float16).view(np.uint16)
            assert np.all(np.isnan(got.view(np.float16)[~ok]))
        else:
            bits = x.view(np.uint32).astype(np.uint64)
            if conversion == "f32_to_bf16":
                want = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
                assert np.all(np.isnan((got[~ok].astype(np.uint32) << 16).view(np.float32)))
            else:
                want = np.where(np.isinf(x), bits, (bits + 0x1000) & 0xFFFFE000)
                assert np.all(np.isnan(got.view(np.float32)[~ok]))
    np.testing.assert_array_equal(got[ok], want[ok])


@pytest.mark.parametrize("d", [1, 30, 200])
def test_stores_are_measured(engine, d):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(70, d)).astype(np.float32)
    job = Job(engine(seed=2))
    squares, errors = job.memory(80 * 4), job.memory(80 * 4)
    most = [job.put(np.zeros(1, np.float32)) for _ in range(2)]
    job.store(
        x, "f32_to_bf16", squares=squares, errors=errors, most_square=most[0], most_error=most[1]
    )
    want = [(a.astype(float) ** 2).sum(1) for a in (x, x - rounded("bf16", x))]
    for place, top, right in zip((squares, errors), most, want, strict=True):
        got = job.get(place, (80,), np.float32)
        np.testing.assert_allclose(got[:70], right, rtol=1e-5)
        assert np.all(np.isnan(got[70:]))
        assert job.get(top, (1,), np.float32)[0] == got[:70].max()


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("spread_of", [1.0, 1e-3])
def test_certificates_are_true(engine, metric, spread_of):
    """A query is certified only if the k nearest of those kept are the k nearest of all."""
    rng = np.random.default_rng(9)
    x = (1 + spread_of * rng.normal(size=(600, 24))).astype(np.float32)
    q = (1 + spread_of * rng.normal(size=(40, 24))).astype(np.float32)
    k, kept, kind = 5, 12, f"{metric}_bf16"
    job = Job(engine(seed=1))
    coarse, found = scan_many(engine(seed=1), kind, x, q, kept)
    exact = (q[:, None].astype(float) - x[None]) ** 2
    exact = exact.sum(2) if metric == "l2" else -(q.astype(float) @ x.T)
    best = np.sort(np.take_along_axis(exact, found, 1), 1)[:, :k]
    squares, errors = job.memory(160), job.memory(160)
    most = [job.put(np.zeros(1, np.float32)) for _ in range(2)]
    job.store(q, "f32_to_bf16", squares=squares, errors=errors)
    job.store(x, "f32_to_bf16", most_square=most[0], most_error=most[1])
    chosen, chosen_n = job.memory(160), job.memory(4)
    job.run(
        "certify",
        coarse=job.put(coarse),
        exact=job.put(best, np.float32),
        queries_n=40,
        kept=kept,
        k=k,
        inner_product=int(metric == "ip"),
        squares=squares,
        errors=errors,
        most_square=most[0],
        most_error=most[1],
        slack=24 * 2.0**-24,
        chosen=chosen,
        chosen_n=chosen_n,
    )
    failed = set(
        job.get(chosen, (40,), np.uint32)[: job.get(chosen_n, (1,), np.uint32)[0]].tolist()
    )
    right = np.allclose(best, np.sort(exact, 1)[:, :k], rtol=0, atol=1e-7, equal_nan=True)
    truth = np.sort(exact, 1)[:, :k]
    for query in range(40):
        if query not in failed:
            np.testing.assert_allclose(best[query], truth[query], rtol=1e-6)
    if spread_of == 1.0:
        assert right
        assert len(failed) < 40  # far apart: some can be told
    else:
        assert failed  # nearer to each other than products are right


def test_many_refuses(engine):
    rows = np.ones((4, 16), np.float32)
    for kind, k, said in (("tables", 3, "tables"), ("ip_f32", 0, "k = 0"), ("l3", 1, "l3")):
        with pytest.raises(shortlist.ArgumentError, match=said):
            scan_many(engine(seed=0), kind, rows, rows, k)
