"""Many threads, forks, progress, Ctrl-C, and callbacks that use the index they are called from.

What could hang or crash runs in a process of its own, under a generous limit.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import shortlist

D = 16
LIMIT = 30.0  # seconds; reached only by a hang

MAKE = {
    "Flat": lambda: shortlist.IndexFlatL2(D),
    "HNSW": lambda: shortlist.IndexHNSWFlat(D, 8),
    "IDMap2,Flat": lambda: shortlist.IndexIDMap2(shortlist.IndexFlatL2(D)),
    "IDMap2,HNSW": lambda: shortlist.IndexIDMap2(shortlist.IndexHNSWFlat(D, 8)),
}


@pytest.fixture
def x(rng):
    return rng.normal(size=(3000, D)).astype(np.float32)


@pytest.mark.parametrize("kind", ["HNSW", "IDMap2,Flat", "IDMap2,HNSW"])
def test_searches_while_another_thread_changes_the_index(x, kind):
    """Ids 0 to 499 stay; every search must find them, and otherwise only ids that ever were."""
    index = MAKE[kind]()
    index.add_with_ids(x[:500], np.arange(500))
    done = threading.Event()

    def change():
        try:
            for turn in range(12):
                fresh = np.arange(500 + 200 * turn, 700 + 200 * turn)
                index.add_with_ids(x[fresh % 2500 + 500], fresh)
                index.remove_ids(fresh)
        finally:
            done.set()

    def search(seed):
        q = np.random.default_rng(seed).integers(500, size=20)
        turns = 0
        while not done.is_set() or turns < 3:
            distances, found = index.search(x[q], 3)
            assert ((found >= 0) & (found < 2900)).all()
            assert (np.diff(distances, axis=1) >= 0).all()
            assert (found[:, 0] == q).mean() > 0.85
            np.testing.assert_array_equal(index.reconstruct_batch(q) if "2" in kind else x[q], x[q])
            assert 500 <= index.ntotal <= 700
            repr(index)
            turns += 1

    with ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(change), *(pool.submit(search, seed) for seed in range(4))]
        for job in jobs:
            job.result(LIMIT)
    assert index.ntotal == 500


@pytest.mark.parametrize("kind", MAKE)
def test_searches_side_by_side_agree(x, kind):
    index = MAKE[kind]()
    index.add_with_ids(x, np.arange(3000)) if kind != "Flat" else index.add(x)
    alone = index.search(x[:300], 5)
    with ThreadPoolExecutor(6) as pool:
        for job in [pool.submit(index.search, x[:300], 5) for _ in range(24)]:
            np.testing.assert_array_equal(job.result(LIMIT), alone)


def test_opposite_merges_do_not_wait_for_each_other(x):
    a, b = MAKE["Flat"](), MAKE["Flat"]()
    a.add(x[:50])

    def merge(into, other):
        for _ in range(300):
            into.merge_from(other)

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(merge, a, b), pool.submit(merge, b, a)]
        for job in jobs:
            job.result(LIMIT)
    assert a.ntotal + b.ntotal == 50


def test_reading_the_id_map_while_it_grows(python):
    python("""
import threading, numpy as np, shortlist
index = shortlist.IndexIDMap(shortlist.IndexFlatL2(1))
x, ids = np.zeros((50000, 1), np.float32), np.arange(50000)
def grow():
    for _ in range(60):
        index.add_with_ids(x, ids)
thread = threading.Thread(target=grow)
thread.start()
while thread.is_alive():
    seen = index.id_map
    assert (seen == np.resize(ids, len(seen))).all()
""")


def test_refining_by_the_graphs_own_storage_does_not_deadlock(python):
    python(
        """
import threading, numpy as np, shortlist
x = np.random.default_rng(0).random((500, 4), dtype=np.float32)
graph = shortlist.IndexHNSWFlat(4, 8)
refined = shortlist.IndexRefine(graph, graph.storage)
graph.add(x)
def change():
    for _ in range(200):
        graph.update_vectors([1], x[:1])
def search():
    while writer.is_alive():
        try:
            refined.search(x[:4], 3)
        except ValueError:
            pass  # an update takes a slot that is no id: noticed
writer = threading.Thread(target=change)
readers = [threading.Thread(target=search) for _ in range(3)]
for t in (writer, *readers):
    t.start()
for t in (writer, *readers):
    t.join()
""",
        timeout=LIMIT,
    )


# Forks

# Waits for children; kills the ones that hang.
REAP = f"""
import signal, time
def reap(children, limit={LIMIT}):
    deadline, left, failed = time.monotonic() + limit, set(children), []
    while left and time.monotonic() < deadline:
        for pid in list(left):
            got, status = os.waitpid(pid, os.WNOHANG)
            if got:
                left.remove(pid)
                failed += [status] if status else []
        time.sleep(0.02)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return f"{{len(left)}} of {{len(children)}} children hang, {{len(failed)}} fail"
"""
ALL_WELL = "0 of 8 children hang, 0 fail\n"


@pytest.mark.parametrize("kind", ["Flat", "HNSW"])
@pytest.mark.parametrize("count", [1, 2])
def test_fork_while_another_thread_searches(python, kind, count):
    """The child has neither that thread nor the pool's, but can search and add."""
    said = python(
        f"""
import os, threading, numpy as np, shortlist
{REAP}
shortlist.omp_set_num_threads({count})
x = np.random.default_rng(0).random((4000, 16), dtype=np.float32)
index = shortlist.IndexFlatL2(16) if {kind!r} == "Flat" else shortlist.IndexHNSWFlat(16, 8)
index.add(x)
stop = threading.Event()
def search():
    while not stop.is_set():
        index.search(x[:200], 5)
threads = [threading.Thread(target=search) for _ in range(2)]
for t in threads:
    t.start()
children = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        ok = (index.search(x[:200], 1)[0] < 1e-4).mean() > 0.9
        index.add(x[:300])
        ok = ok and index.ntotal == 4300 and (index.search(x[:300], 2)[0] < 1e-4).mean() > 0.9
        os._exit(0 if ok else 1)
    children.append(pid)
print(reap(children))
stop.set()
for t in threads:
    t.join()
""",
        timeout=3 * LIMIT,
    )
    assert said == ALL_WELL


def test_fork_while_another_thread_adds(python):
    """The child's copy may be half-changed: it is told so, or works; it never hangs."""
    said = python(
        f"""
import os, threading, numpy as np, shortlist
{REAP}
x = np.random.default_rng(0).random((2000, 16), dtype=np.float32)
index = shortlist.IndexHNSWFlat(16, 8)
index.add(x[:100])
stop = threading.Event()
def grow():
    while not stop.is_set():
        index.add(x[:200])
thread = threading.Thread(target=grow)
thread.start()
children = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        try:
            index.search(x[:50], 5)
            index.add(x[:2])
        except shortlist.BusyError as e:
            assert "forked" in str(e)
        fresh = shortlist.IndexHNSWFlat(16, 8)
        fresh.add(x[:500])
        os._exit(0 if fresh.ntotal == 500 else 1)
    children.append(pid)
stop.set()
thread.join()
print(reap(children))
""",
        timeout=3 * LIMIT,
    )
    assert said == ALL_WELL


# Progress and interruption


@pytest.mark.parametrize("kind", MAKE)
def test_progress_grows_to_the_total(x, kind):
    told = []
    index = MAKE[kind]()
    rest = () if kind == "Flat" else (np.arange(3000),)
    add = index.add if kind == "Flat" else index.add_with_ids
    add(x, *rest, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (3000, 3000)
    assert told == sorted(told)
    assert {total for _, total in told} == {3000}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("named", [False, True])
def test_an_exception_in_progress_stops_add_and_keeps_what_is_done(x, threads, count, named):
    threads(count)
    index = MAKE["HNSW"]()
    index.add(x[:100])
    many = np.tile(x, (4, 1)) + np.repeat(np.arange(4), 3000)[:, None].astype(np.float32) * 20

    class Enough(Exception):
        pass

    def stop(done, total):
        raise Enough(done)

    ids = (np.arange(10**6, 10**6 + len(many)),) if named else ()
    with pytest.raises(Enough):
        (index.add_with_ids if named else index.add)(many, *ids, progress=stop)
    kept = index.ntotal - 100
    assert 0 <= kept <= len(many)
    names = np.arange(kept) + (10**6 if named else 100)
    np.testing.assert_array_equal(index.reconstruct_batch(names), many[:kept])
    _, found = index.search(x[:100], 1)
    assert (found[:, 0] == np.arange(100)).mean() > 0.9
    with pytest.raises(shortlist.IdError):
        index.reconstruct(int(names[-1]) + 1 if kept else 100)
    index.add(x[100:200] - 50)
    assert index.ntotal == kept + 200
    assert (index.search(x[100:200] - 50, 1)[0] < 1e-2).mean() > 0.9


@pytest.mark.parametrize("kind", ["IDMap2,HNSW", "Refine"])
def test_wrappers_stay_consistent_when_add_is_stopped(x, kind):
    refine = kind == "Refine"
    index = shortlist.IndexRefineFlat(MAKE["HNSW"]()) if refine else MAKE[kind]()
    many, ids = np.tile(x, (4, 1)), np.arange(12000) * 3

    def stop(done, total):
        raise KeyError(done)

    with pytest.raises(KeyError):
        index.add(many, progress=stop) if refine else index.add_with_ids(many, ids, progress=stop)
    kept = index.ntotal
    index.add(x) if refine else index.add_with_ids(x, ids[-3000:] + 10**6)
    assert index.ntotal == kept + 3000
    names = np.arange(kept, kept + 3000) if refine else ids[-3000:] + 10**6
    np.testing.assert_array_equal(index.reconstruct_batch(names), x)
    index.search(x, 2)


def test_ctrl_c_stops_a_long_add_and_leaves_a_usable_index(python):
    said = python(
        """
import os, signal, threading, numpy as np, shortlist
x = np.random.default_rng(0).random((2_000_000, 16), dtype=np.float32)
index = shortlist.IndexHNSWFlat(16, 16)
index.add(x[:500])
started = threading.Event()
def interrupt():
    started.wait()
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try:
    index.add(x, progress=lambda done, total: started.set())
except KeyboardInterrupt:
    print("stopped")
kept = index.ntotal
assert 500 <= kept < len(x), kept
assert (index.search(x[:200], 1)[0] < 1e-4).mean() > 0.9
np.testing.assert_array_equal(index.reconstruct(kept - 1), x[(kept - 501) if kept > 500 else 499])
index.add(x[:10] + 5)
assert index.ntotal == kept + 10
assert (index.search(x[:10] + 5, 1)[0] < 1e-4).all()
""",
        timeout=LIMIT,
    )
    assert said == "stopped\n"


def test_ctrl_c_stops_a_long_search(python):
    said = python(
        """
import os, signal, threading, numpy as np, shortlist
x = np.random.default_rng(0).random((300_000, 32), dtype=np.float32)
index = shortlist.IndexFlatL2(32)
index.add(x)
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    index.search(x, 10)  # minutes, if nothing stops it
except KeyboardInterrupt:
    print("stopped")
assert index.search(x[:3], 1)[1][:, 0].tolist() == [0, 1, 2]
""",
        timeout=LIMIT,
    )
    assert said == "stopped\n"


# An index used from inside its own calls


@pytest.mark.parametrize(
    "use", ["search(x, 1)", "add(x)", "remove_ids([1])", "reset()", "reconstruct(0)"]
)
def test_an_index_in_its_own_progress_callback_is_busy(python, use):
    python(
        f"""
import numpy as np, shortlist
x = np.random.default_rng(0).random((2000, 8), dtype=np.float32)
index = shortlist.IndexHNSWFlat(8, 8)
index.add(x[:10])
def use(done, total):
    index.{use}
try:
    index.add(x, progress=use)
except shortlist.BusyError as e:
    assert "callback" in str(e)
else:
    raise SystemExit("no BusyError")
index.search(x, 3)
index.add(x[:5])
""",
        timeout=LIMIT,
    )


def test_another_index_may_be_used_in_a_progress_callback(x):
    other, index = MAKE["Flat"](), MAKE["HNSW"]()
    other.add(x)
    answers = []
    index.add(x, progress=lambda *at: answers.append(other.search(x[:50], 1)[1].ravel().tolist()))
    assert answers
    assert all(a == list(range(50)) for a in answers)


@pytest.mark.parametrize("make", ["IndexFlatL2(4)", "IndexHNSWFlat(4)"])
@pytest.mark.parametrize("use", ["add(x)", "remove_ids([0])", "reset()"])
def test_changing_an_index_from_its_own_filter_is_refused(python, make, use):
    """The search under way reads it, so waiting for that search would never end."""
    python(
        f"""
import numpy as np, shortlist
x = np.eye(4, dtype=np.float32)
index = shortlist.{make}
index.add(x)
def ask(i):
    index.{use}
    return True
params = shortlist.SearchParameters(sel=shortlist.PyCallbackIDSelector(ask))
try:
    index.search(x, 1, params=params)
except shortlist.BusyError:
    pass
else:
    raise SystemExit("no BusyError")
assert index.ntotal == 4
index.add(x)
""",
        timeout=LIMIT,
    )


def test_a_filter_may_search_its_index_while_a_writer_waits(python):
    python(
        """
import threading, numpy as np, shortlist
x = np.random.default_rng(0).random((200, 4), dtype=np.float32)
index = shortlist.IndexFlatL2(4)
index.add(x)
inside, asked = threading.Event(), []
def write():
    inside.wait()
    index.add(x[:1])
writer = threading.Thread(target=write)
writer.start()
def ask(i):
    inside.set()
    asked.append(index.search(x[:1], 1)[1][0, 0])
    return True
params = shortlist.SearchParameters(sel=shortlist.PyCallbackIDSelector(ask))
index.search(x[:8], 1, params=params)
writer.join()
assert index.ntotal == 201 and asked == [0] * 200, (index.ntotal, len(asked))
""",
        timeout=LIMIT,
    )


def test_a_removal_filter_that_searches_is_busy(python):
    python(
        """
import numpy as np, shortlist
x = np.eye(4, dtype=np.float32)
for index in (shortlist.IndexFlatL2(4), shortlist.IndexHNSWFlat(4)):
    index.add(x)
    sel = shortlist.PyCallbackIDSelector(lambda i: bool(index.search(x, 1)))
    try:
        index.remove_ids(sel)
    except shortlist.BusyError:
        pass
    else:
        raise SystemExit("no BusyError")
    assert index.ntotal == 4 and index.search(x, 1)[1][:, 0].tolist() == [0, 1, 2, 3]
""",
        timeout=LIMIT,
    )


# Beside torch, which has threads of its own

WITH_TORCH = """
import os, threading, numpy as np, torch, shortlist
from shortlist.rerank import Dot, Reranker, TwoStage
torch.set_num_threads(2)
shortlist.omp_set_num_threads(2)
x = np.random.default_rng(0).random((4000, 16), dtype=np.float32)
a = torch.from_numpy(x[:800]) @ torch.from_numpy(x[:800]).T
"""


@pytest.fixture
def with_torch(python):
    """Runs code in a fresh interpreter that has torch, an array x and a square tensor a."""
    pytest.importorskip("torch")
    return lambda code: python(WITH_TORCH + code, timeout=3 * LIMIT)


def test_torch_and_the_index_share_a_process(with_torch):
    """All at once from four threads: both right, and one more thread than torch has by itself."""
    said = with_torch("""
index = shortlist.IndexHNSWFlat(16, 8)
shortlist.omp_set_num_threads(1)  # not yet a thread of its own
index.add(x)
found = index.search(x[:300], 5)
reranked = TwoStage(index, Reranker(Dot("l2"), x), 20).search(x[:50], 5)
shortlist.omp_set_num_threads(2)
product = a @ a
turn = threading.Barrier(5)
right = []

def count():
    return len(os.listdir("/proc/self/task"))

def work(number):
    ok = True
    for _ in range(3):
        ok = ok and torch.allclose(a @ a, product)
    turn.wait()  # all have used torch
    turn.wait()  # and are counted
    own = shortlist.IndexHNSWFlat(16, 8) if number % 2 else shortlist.IndexFlatL2(16)
    two = TwoStage(index, Reranker(Dot("l2"), x), 20)
    for step in range(10):
        ok = ok and torch.allclose(a @ a, product)
        own.add(x[step * 100 : step * 100 + 100])
        ok = ok and (own.search(x[: step * 100 + 100], 1)[0] < 1e-4).mean() > 0.9
        ok = ok and all(map(np.array_equal, index.search(x[:300], 5), found))
        ok = ok and all(map(np.array_equal, two.search(x[:50], 5), reranked))
    right.append(ok)
    turn.wait()
    turn.wait()

threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for t in threads:
    t.start()
turn.wait()
of_torch = count()
turn.wait()
turn.wait()
of_both = count()
turn.wait()
for t in threads:
    t.join()
print(right, of_both - of_torch)
""")
    assert said == "[True, True, True, True] 1\n"


def test_fork_while_another_thread_searches_and_another_uses_torch(with_torch):
    """The child searches, adds and reranks; torch itself asks for one thread there."""
    said = with_torch(f"""
{REAP}
index = shortlist.IndexHNSWFlat(16, 8)
index.add(x)
two = TwoStage(index, Reranker(Dot("l2"), index), 20)
_, wanted = two.search(x[:50], 5)
stop = threading.Event()
def search():
    while not stop.is_set():
        index.search(x[:200], 5)
def multiply():
    while not stop.is_set():
        a @ a
threads = [threading.Thread(target=search), threading.Thread(target=multiply)]
for t in threads:
    t.start()
children = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        torch.set_num_threads(1)
        ok = np.array_equal(two.search(x[:50], 5)[1], wanted)
        index.add(x[:300])
        os._exit(0 if ok and index.ntotal == 4300 else 1)
    children.append(pid)
print(reap(children))
stop.set()
for t in threads:
    t.join()
""")
    assert said == ALL_WELL


def test_workers_of_a_data_loader_search(with_torch):
    """They are forked from a process where both have run."""
    said = with_torch("""
index = shortlist.IndexFlatL2(16)
index.add(x)
_, wanted = index.search(x[:64], 3)

class Neighbours(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        return index.search(x[8 * i : 8 * i + 8], 3)[1]

loader = torch.utils.data.DataLoader(
    Neighbours(), batch_size=2, num_workers=2, multiprocessing_context="fork"
)
print(np.array_equal(torch.cat([*loader]).flatten(0, 1), wanted))
""")
    assert said == "True\n"
