"""New models on old codes: trained, aligned, or made for it; and what is there without torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shortlist
from shortlist.binary import align, factors, odd_integers, read_query, upgrade


@pytest.mark.parametrize(("new_dim", "old_dim"), [(6, 6), (9, 6), (6, 9)])
def test_alignment_finds_the_rotation_back(rng, new_dim, old_dim):
    low = min(new_dim, old_dim)
    x = rng.normal(size=(200, low)) * np.linspace(2, 1, low)
    turns = [np.linalg.qr(rng.normal(size=(d, d)))[0][:low] for d in (new_dim, old_dim)]
    new, old = x @ turns[0] + 3, x @ turns[1] - 1
    found = align(new[:150], old[:150])
    assert found.error < 1e-6
    np.testing.assert_allclose(found(new[150:]), old[150:], atol=1e-4)
    square = found.matrix @ found.matrix.T if new_dim <= old_dim else found.matrix.T @ found.matrix
    np.testing.assert_allclose(square, np.eye(low), atol=1e-5)
    assert found(new).dtype == found.matrix.dtype == np.float32
    alone = align(new, old, centre=False)
    assert not alone.new_mean.any()
    assert alone.error > 1e-3


def test_no_other_rotation_is_nearer(rng):
    new, old = rng.normal(size=(2, 60, 4))
    found = align(new, old, centre=False)
    for _ in range(50):
        other = np.linalg.qr(rng.normal(size=(4, 4)))[0]
        assert found.error <= ((new @ other - old) ** 2).sum() / (old**2).sum() + 1e-6


def test_alignments_of_nothing_are_refused(rng):
    x = rng.normal(size=(5, 3))
    with pytest.raises(ValueError, match="new has 5 rows and old 4"):
        align(x, x[:4])
    with pytest.raises(ValueError, match="no rows"):
        align(x[:0], x[:0])
    with pytest.raises(ValueError, match=r"old has shape \(5,\)"):
        align(x, x[:, 0])
    with pytest.raises(ValueError, match="new holds NaN"):
        align(np.where(x > 1, math.nan, x) * math.nan, x)
    with pytest.raises(ValueError, match=r"vectors have shape \(5, 2\); expected \(n, 3\)"):
        align(x, x)(x[:, :2])


def test_what_needs_torch_says_so(python):
    said = python("""
import sys
sys.modules["torch"] = None
from shortlist import binary
binary.align([[1.0, 2.0]], [[1.0, 2.0]])
for name in ("RecurrentBinarizer", "SimplexClassifier"):
    try:
        getattr(binary, name)
    except ImportError as error:
        print(error)
""")
    assert said.splitlines() == [
        f"shortlist.binary.{name} needs torch: pip install 'shortlist[rerank]'"
        for name in ("RecurrentBinarizer", "SimplexClassifier")
    ]


torch = pytest.importorskip("torch")

from binary_cases import asymmetric, same, shifted, weights  # noqa: E402
from shortlist import NotTrainedError  # noqa: E402
from shortlist.binary import RecurrentBinarizer, SimplexClassifier  # noqa: E402


@pytest.mark.parametrize("n", [2, 3, 10, 101])
def test_the_vertices_of_a_simplex(n):
    head = SimplexClassifier(n, scale=3)
    w = head.weight.double()
    assert head.features == n - 1
    expected = torch.full((n, n), -1 / (n - 1), dtype=torch.float64).fill_diagonal_(1)
    torch.testing.assert_close(w @ w.T, expected, atol=1e-5, rtol=0)
    assert list(head.parameters()) == []
    torch.testing.assert_close(head(5 * head.weight), 3 * expected.float(), atol=1e-4, rtol=0)


def test_features_of_a_fixed_head_stay_where_they_were():
    """Two models, of other views of the data and with other classes seen, agree on directions."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(5, 8, generator=generator)
    labels = torch.arange(200) % 5
    x = centres[labels] + 0.1 * torch.randn(200, 8, generator=generator)
    head, features = SimplexClassifier(6, scale=4), []
    for turn, seen in ((torch.eye(8), labels < 4), (torch.linalg.qr(centres.T @ centres)[0], None)):
        torch.manual_seed(1)
        model = torch.nn.Linear(8, head.features)
        optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
        rows = slice(None) if seen is None else seen
        for _ in range(150):
            loss = torch.nn.functional.cross_entropy(head(model((x @ turn)[rows])), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        features.append(torch.nn.functional.normalize(model(x @ turn)[labels < 4]).detach())
    agreement = (features[0] * features[1]).sum(1)
    assert float(agreement.mean()) > 0.9


def test_heads_of_nothing_are_refused():
    with pytest.raises(ValueError, match="n_classes is 1; expected at least 2"):
        SimplexClassifier(1)
    with pytest.raises(ValueError, match="scale is 0; expected more"):
        SimplexClassifier(3, scale=0)
    with pytest.raises(ValueError, match=r"shape \(2, 3\); expected \(n, 2\), one dimension less"):
        SimplexClassifier(3)(torch.zeros(2, 3))


@pytest.fixture(scope="module")
def change():
    """A new model, and the old one: fewer dimensions, and noise."""
    data = shifted(dim=16)
    rng = np.random.default_rng(1)
    lossy = rng.normal(size=(16, 10))

    def old(x):
        y = x @ lossy
        y = y / np.linalg.norm(y, axis=1, keepdims=True) + 0.05 * rng.normal(size=y.shape)
        return y.astype(np.float32)

    return data, old(data.base), old(data.queries), old(data.asked)


OPTIONS = {"reconstruction": {}, "infonce": {"steps": 100, "batch": 64}}


@pytest.mark.parametrize("objective", ["reconstruction", "infonce"])
def test_new_queries_find_more_by_old_codes_than_old_queries(change, objective):
    data, old_base, old_queries, old_asked = change
    old = RecurrentBinarizer(10, 16, bits=2)
    old.fit(old_base, queries=old_queries)
    before = weights(old)
    exported, codes = old.export(), old.encode(old_base)
    scale, addend = factors(exported, old_base, codes)
    integers = odd_integers(exported, codes)
    options = {"queries": data.queries, "objective": objective, **OPTIONS[objective]}
    new, free = RecurrentBinarizer(16, bits=2), RecurrentBinarizer(16, bits=2)
    new.fit(data.base, compatible_with=old, old_base=old_base, **options)
    free.fit(data.base, **options)
    assert same(weights(old), before)

    def on_old_codes(binarizer, asked, **way):
        reading = read_query(binarizer.export(), asked, **way)
        return data.recall((reading @ integers.T) * scale + addend)

    old_old, new_old = on_old_codes(old, old_asked), on_old_codes(new, data.asked, old=True)
    new_new = data.recall(asymmetric(new, data))
    assert new_old > old_old + 0.02
    assert new_new > new_old + 0.02
    assert on_old_codes(free, data.asked) < old_old - 0.1  # compatible by training, not by itself
    # One index: the last third of the base already by the new model.
    kept = len(data.base) * 2 // 3
    gallery = shortlist.IndexSDC(10, metric=shortlist.METRIC_INNER_PRODUCT, encoder=exported)
    gallery.add(old_base[:kept])
    mixed = upgrade(gallery, new.export())
    mixed.add(data.base[kept:])
    distances, found = mixed.search_exact(data.asked, mixed.ntotal)
    scores = np.take_along_axis(distances, np.argsort(found, 1), 1)
    assert new_old - 0.01 < data.recall(scores) < new_new + 0.01
    with pytest.raises(ValueError, match="knows no older one; fit it with compatible_with="):
        on_old_codes(free, data.asked, old=True)


def test_an_old_module_that_does_not_fit_is_refused(change):
    data, old_base, *_ = change
    old, new = RecurrentBinarizer(10, 16, bits=2), RecurrentBinarizer(16, bits=2)
    with pytest.raises(NotTrainedError, match="compatible_with is not trained"):
        new.fit(data.base, compatible_with=old, old_base=old_base)
    old.fit(old_base, rounds=1)
    with pytest.raises(ValueError, match="old_base has 7 rows and base 3000"):
        new.fit(data.base, compatible_with=old, old_base=old_base[:7])
    with pytest.raises(ValueError, match="pass both compatible_with and old_base, or neither"):
        new.fit(data.base, compatible_with=old)
    with pytest.raises(ValueError, match="is the module itself"):
        old.fit(old_base, compatible_with=old, old_base=old_base)
    with pytest.raises(ValueError, match="16 dimensions of 2 bits and the new 16 of 1"):
        RecurrentBinarizer(16, bits=1).fit(data.base, compatible_with=old, old_base=old_base)
    with pytest.raises(ValueError, match="needs pairs of rows"):
        new.fit(data.base, (data.base, data.base), compatible_with=old, old_base=old_base)
