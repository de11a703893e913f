"""The steps of the recipe, and how each is taken out: by a switch, or by edits of the source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """A change of a source file, in which `text` must stand exactly once."""

    file: str
    text: str
    instead: str


@dataclass(frozen=True)
class Step:
    """One step of the recipe. Without edits it is a switch, which variant.py knows how to turn."""

    title: str
    otherwise: str  # what is there in its place
    edits: tuple[Edit, ...] = ()  # that take it out
    needs: frozenset[str] = frozenset()  # steps without which it does nothing
    unless: str | None = None  # a step with which it does nothing
    graph: bool = False  # whether another graph is built
    kept: str = "yes"


# The paper's candidates and results; several are expanded at once here too.
_TWO_HEAPS = (
    Edit("cpp/graph/walk.h", "#include <span>\n", "#include <queue>\n#include <span>\n"),
    Edit(
        "cpp/graph/walk.h",
        "  for (size_t cursor = 0; cursor < pool.size();) {\n",
        """\
  using Entry = std::pair<float, slot_t>;
  std::priority_queue<Entry> nearest;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> waiting;
  const auto worst = [&] {
    return nearest.size() < ef ? std::numeric_limits<float>::infinity() : nearest.top().first;
  };
  nearest.emplace(entry_distance, entry);
  waiting.emplace(entry_distance, entry);
  while (!waiting.empty() && waiting.top().first <= worst()) {
    size_t n = 0;
    for (size_t taken = 0; taken < kExpandedTogether && !waiting.empty(); ++taken) {
      if (waiting.top().first > worst()) break;
      const slot_t from = waiting.top().second;
      waiting.pop();
      for (slot_t to : links(from)) {
        fresh[n] = to;
        n += !visited.test_and_set(to);
      }
    }
    computer.score(fresh, n, distances);
    for (size_t i = 0; i < n; ++i) {
      if (!(distances[i] < worst())) continue;
      nearest.emplace(distances[i], fresh[i]);
      waiting.emplace(distances[i], fresh[i]);
      if (nearest.size() > ef) nearest.pop();
      if (waiting.top().second == fresh[i]) prefetch_links(fresh[i]);
    }
  }
  std::vector<Entry> found;
  for (; !nearest.empty(); nearest.pop()) found.push_back(nearest.top());
  pool.reset(ef);
  for (size_t i = found.size(); i-- > 0;) pool.push(found[i].first, found[i].second);
  return;
  for (size_t cursor = 0; cursor < pool.size();) {
""",
    ),
)

STEPS = {
    # Switches
    "simd": Step("SIMD", "scalar kernels"),
    "avx512": Step("AVX-512 where there is", "AVX2", needs=frozenset({"simd"})),
    "batch": Step("all queries in one call", "one call per query"),
    "native": Step("vectors in the data's own type", "as float32", graph=True),
    "int8": Step(
        "floats walked by int8 codes",
        "by themselves",
        graph=True,
        kept="where codes will do",
    ),
    "blocks": Step("neighbour blocks", "links", kept="on request"),
    # Of both walks
    "huge": Step(
        "huge pages",
        "4 KiB pages",
        (
            Edit(
                "cpp/base/memory.cpp",
                "::madvise(data, bytes, MADV_HUGEPAGE)",
                "::madvise(data, bytes, MADV_NOHUGEPAGE)",
            ),
        ),
    ),
    "rows": Step(
        "rows of a list prefetched in the kernel",
        "read when needed",
        (Edit("cpp/kernels/rows.h", "  if (rows && bytes) {\n", "  if (false) {\n"),),
    ),
    "pruned": Step(
        "a new node's free links filled with pruned candidates",
        "left free",
        (Edit("cpp/graph/insert.cpp", "bool kKeepPruned = true;", "bool kKeepPruned = false;"),),
        graph=True,
    ),
    "settled": Step(
        "exact distances for the first, in groups",
        "for all candidates",
        (
            Edit(
                "cpp/graph/search.cpp", "constexpr size_t kMore = 8;", "size_t kMore = hits.size();"
            ),
        ),
        needs=frozenset({"int8"}),
    ),
    # Of the walk by links
    "pool": Step("one sorted pool", "two heaps", _TWO_HEAPS, unless="blocks"),
    "together": Step(
        "three candidates expanded at once",
        "one",
        (Edit("cpp/graph/walk.h", "kExpandedTogether = 3;", "kExpandedTogether = 1;"),),
        unless="blocks",
    ),
    "links": Step(
        "links of a candidate at the front prefetched",
        "read when needed",
        (
            Edit(
                "cpp/graph/search.cpp",
                "[&](slot_t s) { prefetch(base_.data() + size_t{s} * row_links); }",
                "[](slot_t) {}",
            ),
        ),
        unless="blocks",
    ),
    # Of the walk by blocks
    "fill": Step(
        "rows filled with other near nodes",
        "links only",
        (
            Edit(
                "cpp/graph/blocks.cpp",
                "    if (slots.size() >= width) return slots;\n",
                "    return slots;\n",
            ),
        ),
        needs=frozenset({"blocks"}),
    ),
    "ahead": Step(
        "rows on their way ahead",
        "used as soon as chosen",
        (Edit("cpp/graph/search.cpp", "ahead = blocks_->ahead();", "ahead = 0;"),),
        needs=frozenset({"blocks"}),
    ),
}

BLOCKS = frozenset(STEPS)
LINKS = BLOCKS - {"blocks"}
PLAIN = frozenset({"simd", "batch"})


def edits_of(steps: frozenset[str]) -> tuple[Edit, ...]:
    """What makes the source do without all others."""
    return tuple(edit for name in STEPS if name not in steps for edit in STEPS[name].edits)


def effective(steps: frozenset[str], dtype: str) -> frozenset[str]:
    """Those of `steps` that change anything for data of this type."""
    found = set(steps)
    if dtype == "float32":
        found.discard("native")
    elif dtype == "uint8" and "native" in found:
        found.discard("int8")
    while idle := {s for s in found if STEPS[s].unless in found or not STEPS[s].needs <= found}:
        found -= idle
    return frozenset(found)


def index_of(steps: frozenset[str], dtype: str) -> frozenset[str]:
    """Equal for variants that are one index, called in one way or another."""
    return effective(steps, dtype) - {"batch"}


@dataclass(frozen=True)
class Column:
    """A base, and how the search with a step is compared with the search without it."""

    title: str
    base_title: str
    base: frozenset[str]
    adds: bool  # to the base, together with what a step needs; else steps are taken from it

    def pair(self, step: str) -> tuple[frozenset[str], frozenset[str]]:
        """With the step, and without it."""
        base = self.base | STEPS[step].needs | {step} if self.adds else self.base
        return base, base - {step}

    def pairs(
        self, steps: Iterable[str], dtype: str
    ) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
        """Of the steps that change anything here."""
        pairs = {step: self.pair(step) for step in steps}
        return {
            s: (a, b) for s, (a, b) in pairs.items() if effective(a, dtype) != effective(b, dtype)
        }

    def name(self, steps: frozenset[str]) -> str:
        added = [f" + {s}" for s in STEPS if s in steps - self.base]
        missing = [f" - {s}" for s in STEPS if s in self.base - steps]
        return "".join([self.base_title, *added, *missing])


COLUMNS = {
    "alone": Column("alone", "plain", PLAIN, adds=True),
    "links": Column("taken from the walk by links", "by links", LINKS, adds=False),
    "blocks": Column("taken from the walk by blocks", "by blocks", BLOCKS, adds=False),
}
