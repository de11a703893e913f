// Arrays, top-k, bitmaps and selectors against the standard library's.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <unordered_map>

#include "base/bitmap.h"
#include "base/memory.h"
#include "base/selector.h"
#include "check.h"
#include "kernels/topk.h"

namespace shortlist::test {
namespace {

template <class T>
void array_against_vector(Random& random) {
  Array<T> ours;
  std::vector<T> theirs;
  for (int step = 0; step < 400; ++step) {
    const auto value = static_cast<T>(random.bits());
    switch (random.below(7)) {
      case 0:
        ours.push_back(value);
        theirs.push_back(value);
        break;
      case 1: {
        const size_t n = random.below(3000);
        T* fresh = ours.grow(n);
        for (size_t i = 0; i < n; ++i) fresh[i] = static_cast<T>(i);
        for (size_t i = 0; i < n; ++i) theirs.push_back(static_cast<T>(i));
        break;
      }
      case 2: {
        const size_t n = random.below(theirs.size() + 100);
        ours.resize(n, value);
        theirs.resize(n, value);
        break;
      }
      case 3:
        ours.append(theirs.data(), theirs.size() / 4);
        theirs.insert(theirs.end(), theirs.begin(),
                      theirs.begin() + static_cast<ptrdiff_t>(theirs.size() / 4));
        break;
      case 4: {
        Array<T> copy(ours);
        ours = std::move(copy);
        break;
      }
      case 5:
        ours.reserve(random.below(100000));
        break;
      case 6:
        if (random.chance(0.1)) {
          ours.release();
          theirs.clear();
        }
        break;
    }
    CHECK_EQ(ours.size(), theirs.size());
    CHECK(ours.capacity() >= ours.size());
    CHECK(std::equal(ours.begin(), ours.end(), theirs.begin()));
    CHECK_EQ(reinterpret_cast<uintptr_t>(ours.data()) % 64, uintptr_t{0});
  }
}

// Across the boundary to huge pages, and past the pieces in which large blocks move.
void large_blocks_keep_their_bytes() {
  constexpr size_t kStep = 4096;
  Block block;
  size_t used = 0;
  for (size_t want :
       {size_t{100}, size_t{1} << 20, size_t{3} << 20, size_t{70} << 20, size_t{200} << 20}) {
    block.reallocate(want, used);
    CHECK(block.capacity() >= want);
    for (size_t at = 0; at < used; at += kStep)
      CHECK(block.data()[at] == static_cast<std::byte>(at / kStep));
    for (size_t at = used / kStep * kStep; at < want; at += kStep)
      block.data()[at] = static_cast<std::byte>(at / kStep);
    used = want;
  }
  block.reallocate(1 << 20, 1 << 20);
  for (size_t at = 0; at < size_t{1} << 20; at += kStep)
    CHECK(block.data()[at] == static_cast<std::byte>(at / kStep));
  CHECK_THROWS(std::bad_alloc, block.reallocate(SIZE_MAX - 100, 10));
  CHECK_THROWS(std::bad_alloc, block.reallocate(size_t{1} << 60, 10));
  CHECK(block.data()[kStep] == std::byte{1});
}

void topk_against_sort(Random& random) {
  for (int round = 0; round < 300; ++round) {
    const size_t k = random.below(round % 10 == 0 ? 400 : 40), n = random.below(1000);
    const bool coarse = random.chance(0.5);  // many ties
    std::vector<std::pair<float, slot_t>> all;
    TopK top(k), part(k);
    for (size_t i = 0; i < n; ++i) {
      float x = random.normal();
      if (coarse) x = std::round(x * 2);
      if (random.chance(0.02)) x = std::numeric_limits<float>::quiet_NaN();
      if (random.chance(0.02)) x = std::numeric_limits<float>::infinity();
      if (random.chance(0.02)) x = -std::numeric_limits<float>::infinity();
      if (x == 0) x = 0;  // -0 sorts before 0 here, and after nothing there
      const auto slot = static_cast<slot_t>(random.chance(0.5) ? i : (size_t{1} << 31) + i);
      (i % 3 ? top : part).push(x, slot);
      if (x < std::numeric_limits<float>::infinity()) all.emplace_back(x, slot);
    }
    top.merge(part);
    std::sort(all.begin(), all.end());
    all.resize(std::min(all.size(), k));
    const auto hits = top.finish();
    CHECK_EQ(hits.size(), all.size());
    for (size_t i = 0; i < hits.size(); ++i) {
      CHECK_EQ(distance_of(hits[i]), all[i].first);
      CHECK_EQ(slot_of(hits[i]), all[i].second);
    }
  }
}

void bitmap_against_bools(Random& random) {
  for (int round = 0; round < 200; ++round) {
    const size_t n = random.below(300);
    Bitmap ours(n), other(n);
    std::vector<bool> theirs(n), their_other(n);
    for (size_t i = 0; i < n; ++i) {
      if (random.chance(0.4)) ours.set(i), theirs[i] = true;
      if (random.chance(0.4)) other.set(i), their_other[i] = true;
      if (random.chance(0.1)) ours.clear(i), theirs[i] = false;
    }
    switch (random.below(5)) {
      case 0:
        ours &= other;
        for (size_t i = 0; i < n; ++i) theirs[i] = theirs[i] && their_other[i];
        break;
      case 1:
        ours |= other;
        for (size_t i = 0; i < n; ++i) theirs[i] = theirs[i] || their_other[i];
        break;
      case 2:
        ours ^= other;
        for (size_t i = 0; i < n; ++i) theirs[i] = theirs[i] != their_other[i];
        break;
      case 3:
        ours.invert();
        theirs.flip();
        break;
      case 4: {
        const size_t m = random.below(400);
        const bool value = random.chance(0.5);
        ours.resize(m, value);
        theirs.resize(m, value);
        break;
      }
    }
    CHECK_EQ(ours.size(), theirs.size());
    CHECK_EQ(ours.count(), static_cast<size_t>(std::count(theirs.begin(), theirs.end(), true)));
    std::vector<bool> listed(theirs.size());
    ours.for_each([&](slot_t s) { listed[s] = true; });
    CHECK(listed == theirs);
    for (size_t i = 0; i < theirs.size(); ++i) {
      CHECK_EQ(ours[i], static_cast<bool>(theirs[i]));
      const auto next = std::find(theirs.begin() + static_cast<ptrdiff_t>(i), theirs.end(), true);
      CHECK_EQ(ours.next(i), static_cast<size_t>(next - theirs.begin()));
    }
  }
}

using Predicate = std::function<bool(id_t)>;
struct Selection {
  std::shared_ptr<const Selector> selector;
  Predicate holds;
};

Selection random_selector(Random& random, id_t top, int depth) {
  const auto ids = [&] {
    std::vector<id_t> out(random.below(40));
    for (id_t& id : out) id = static_cast<id_t>(random.below(static_cast<size_t>(top) * 2)) - 5;
    return out;
  };
  switch (random.below(depth > 0 ? 7 : 5)) {
    case 0:
      return {std::make_shared<SelectorAll>(), [](id_t) { return true; }};
    case 1: {
      const auto low = static_cast<id_t>(random.below(static_cast<size_t>(top)));
      const auto high = low + static_cast<id_t>(random.below(50));
      return {std::make_shared<SelectorRange>(low, high),
              [=](id_t i) { return low <= i && i < high; }};
    }
    case 2: {
      const auto list = ids();
      const std::set<id_t> set(list.begin(), list.end());
      return {std::make_shared<SelectorArray>(list), [=](id_t i) { return set.count(i) > 0; }};
    }
    case 3: {
      const auto list = ids();
      const std::set<id_t> set(list.begin(), list.end());
      return {std::make_shared<SelectorBatch>(list), [=](id_t i) { return set.count(i) > 0; }};
    }
    case 4: {
      std::vector<uint8_t> bits(random.below(30));
      for (auto& b : bits) b = static_cast<uint8_t>(random.bits());
      return {std::make_shared<SelectorBitmap>(bits), [=](id_t i) {
                return i >= 0 && static_cast<size_t>(i) < bits.size() * 8 &&
                       (bits[static_cast<size_t>(i) / 8] >> (i % 8) & 1);
              }};
    }
    case 5: {
      const auto inner = random_selector(random, top, depth - 1);
      return {std::make_shared<SelectorNot>(inner.selector),
              [=](id_t i) { return !inner.holds(i); }};
    }
    default: {
      const auto a = random_selector(random, top, depth - 1),
                 b = random_selector(random, top, depth - 1);
      const auto op = static_cast<SelectorPair::Op>(random.below(3));
      return {std::make_shared<SelectorPair>(op, a.selector, b.selector), [=](id_t i) {
                const bool x = a.holds(i), y = b.holds(i);
                return op == SelectorPair::Op::both     ? x && y
                       : op == SelectorPair::Op::either ? x || y
                                                        : x != y;
              }};
    }
  }
}

void selectors_against_predicates(Random& random) {
  for (int round = 0; round < 600; ++round) {
    const size_t slots = random.below(200);
    const auto top = static_cast<id_t>(slots + 10);
    std::vector<id_t> ids(slots);
    for (size_t i = 0; i < slots; ++i)
      ids[i] = static_cast<id_t>(i) * 2 - 3 < 0 ? kNoId : static_cast<id_t>(i) * 2 - 3;
    std::unordered_map<id_t, slot_t> slot_of;
    for (size_t i = 0; i < slots; ++i)
      if (ids[i] != kNoId) slot_of[ids[i]] = static_cast<slot_t>(i);
    IdMap map{.slots = slots};
    const size_t kind = random.below(3);
    if (kind > 0) map.ids = ids.data();
    if (kind > 1) map.slot_of = &slot_of;
    if (kind > 0 && random.chance(0.7)) map.version = next_version();
    const Selection s = random_selector(random, top, 3);
    const auto check = [&] {
      const auto chosen = s.selector->among(map);
      CHECK_EQ(chosen->bits().size(), slots);
      std::vector<slot_t> list;
      for (size_t i = 0; i < slots; ++i) {
        const id_t id = map.id(static_cast<slot_t>(i));
        CHECK_EQ(static_cast<bool>((*chosen)[i]), id != kNoId && s.holds(id));
        CHECK_EQ(s.selector->is_member(id), s.holds(id));
        if ((*chosen)[i]) list.push_back(static_cast<slot_t>(i));
      }
      CHECK_EQ(chosen->count(), list.size());
      if (chosen->listed()) CHECK(chosen->list() == list);
      CHECK_EQ(chosen->spread().empty(), list.empty());
      for (slot_t at : chosen->spread()) CHECK((*chosen)[at]);
      return chosen;
    };
    const auto first = check();
    CHECK_EQ(check() == first, !map.ids || map.version);
    if (!map.ids || slots == 0) continue;
    const size_t changed = random.below(slots);  // one id goes
    slot_of.erase(ids[changed]);
    ids[changed] = kNoId;
    if (map.version) map.version = next_version();
    check();
  }
}

}  // namespace

void base(uint64_t seed) {
  Random random(seed);
  array_against_vector<uint8_t>(random);
  array_against_vector<uint32_t>(random);
  array_against_vector<int64_t>(random);
  large_blocks_keep_their_bytes();
  topk_against_sort(random);
  bitmap_against_bools(random);
  selectors_against_predicates(random);
}

}  // namespace shortlist::test
