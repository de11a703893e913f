#include "index/traversal.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <new>
#include <vector>

#include "base/random.h"

namespace shortlist {
namespace {

constexpr float kHeadroom = 1 / 16.f;  // of the range on either side, for vectors still to come
constexpr size_t kRows = 256;          // decoded at a time

// The least and the greatest value of each dimension; empty where a value is not finite.
std::vector<float> ranges_of(const Vectors& stored) {
  const size_t d = stored.codec.d;
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::vector<float> all(2 * d, kInf);
  std::fill_n(all.begin() + static_cast<ptrdiff_t>(d), d, -kInf);
  bool sound = true;
  std::mutex merging;
  parallel_for(stored.store.size(), {.grain = 16 * kRows}, [&](size_t begin, size_t end, size_t) {
    std::vector<float> x(kRows * d), mine(all.size(), kInf);
    std::fill_n(mine.begin() + static_cast<ptrdiff_t>(d), d, -kInf);
    float *lo = mine.data(), *hi = mine.data() + d;
    bool clean = true;
    for (size_t at = begin; at < end; at += kRows) {
      const size_t n = std::min(kRows, end - at);
      stored.codec.decode(stored.store.row(at), n, x.data());
      clean = clean && finite(x.data(), n * d);
      for (size_t r = 0; r < n; ++r)
        for (size_t i = 0; i < d; ++i) {
          lo[i] = std::min(lo[i], x[r * d + i]);
          hi[i] = std::max(hi[i], x[r * d + i]);
        }
    }
    const std::lock_guard hold(merging);
    sound = sound && clean;
    for (size_t i = 0; i < d; ++i) {
      all[i] = std::min(all[i], lo[i]);
      all[d + i] = std::max(all[d + i], hi[i]);
    }
  });
  for (size_t i = 0; i < d; ++i) {
    const float spare = (all[d + i] - all[i]) * kHeadroom;
    all[i] -= spare;
    all[d + i] += spare;
  }
  if (!sound || !finite(all.data(), all.size())) all.clear();
  return all;
}

// Whether codes can tell neighbours apart: for most of a sample of vectors, rounding lets no more
// than as many again pass for the ten nearest.
bool tells_apart(const Int8Codec& codec, const Vectors& stored) {
  constexpr size_t kSample = 64, kNearest = 32, kTenth = 10;
  constexpr float kDeviations = 4 * 1.414f;  // two distances are compared, each off by a blur
  const size_t d = codec.d;
  std::vector<float> sample(kSample * d);
  for (size_t i = 0; i < kSample; ++i)
    stored.codec.decode(stored.store.row(mix64(i) % stored.store.size()), 1, sample.data() + i * d);
  std::vector<hit_t> hits[kSample];
  flat::search(stored, as_rows({sample.data(), kSample, d}), kNearest, nullptr, hits);
  size_t apart = 0;
  for (size_t i = 0; i < kSample; ++i) {
    if (hits[i].size() < kNearest) continue;  // some too far to compare
    float margin = kDeviations * codec.blur(), limit = distance_of(hits[i][kTenth]);
    if (stored.metric == Metric::l2) {
      limit = std::sqrt(std::max(limit, 0.f)) + margin;
      limit *= limit;
    } else {
      double square = 0;
      for (size_t t = 0; t < d; ++t) square += double{sample[i * d + t]} * sample[i * d + t];
      limit += margin * static_cast<float>(std::sqrt(square));
    }
    apart += distance_of(hits[i][2 * kTenth + 1]) > limit;
  }
  return 2 * apart > kSample;
}

}  // namespace

bool TraversalCodes::encode(const Vectors& stored, std::span<const slot_t> slots) {
  const size_t d = codec_->d, missing = stored.store.size() - store_.size();
  if (missing) store_.grow(missing);
  std::atomic<bool> held = true;
  parallel_for(slots.size(), {.grain = kRows}, [&](size_t begin, size_t end, size_t) {
    std::vector<float> x(d);
    for (size_t i = begin; i < end; ++i) {
      stored.codec.decode(stored.store.row(slots[i]), 1, x.data());
      if (!finite(x.data(), d) || !codec_->holds({x.data(), 1, d})) held = false;
      codec_->encode({x.data(), 1, d}, store_.row(slots[i]));
    }
  });
  return held;
}

void TraversalCodes::decide(const Vectors& stored) {
  without(stored.store.size());
  const std::vector<float> ranges = ranges_of(stored);
  if (ranges.empty()) return;
  auto codec = std::make_unique<const Int8Codec>(
      stored.metric, Matrix<const float>{ranges.data(), 2, stored.codec.d});
  if (!tells_apart(*codec, stored)) return;
  codec_ = std::move(codec);
  store_ = CodeStore(codec_->code_size());
  std::vector<slot_t> all(stored.store.size());
  for (size_t s = 0; s < all.size(); ++s) all[s] = static_cast<slot_t>(s);
  encode(stored, all);
}

// Until the vectors have doubled.
void TraversalCodes::without(size_t n) {
  clear();
  decided_at_ = n;
}

bool TraversalCodes::outgrown(size_t n, const Rows& x) const {
  if (doubled(n)) return true;
  std::atomic<bool> held = true;
  const size_t rows = in_use() ? x.n : 0;
  parallel_for(rows, {.grain = kRows}, [&](size_t begin, size_t end, size_t) {
    std::vector<float> scratch;
    const Rows part = x.slice(begin, end);
    if (!codec_->holds({as_floats(part, scratch), part.n, part.d})) held = false;
  });
  return !held;
}

void TraversalCodes::truncate(size_t n) {
  if (store_.size() > n) store_.truncate(n);
}

bool TraversalCodes::follow(const Vectors& stored, std::span<const slot_t> written) {
  const bool before = in_use();
  const size_t n = stored.store.size();
  try {
    if (doubled(n)) {
      decide(stored);
      return before || in_use();
    }
    if (!before || encode(stored, written)) return false;
    decide(stored);
  } catch (const std::bad_alloc&) {
    without(n);
  } catch (...) {
    without(n);
    throw;
  }
  return before;
}

}  // namespace shortlist
