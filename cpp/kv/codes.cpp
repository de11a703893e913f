#include "kv/codes.h"

#include <algorithm>
#include <functional>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "base/bitmap.h"
#include "base/error.h"
#include "base/hit.h"
#include "base/threads.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"

namespace shortlist::kv {
namespace {

constexpr size_t kBlock = 1024;  // keys encoded at a time
constexpr size_t kMostCodewords = size_t{1} << 16;

}  // namespace

Codebook::Codebook(size_t heads, size_t size, size_t d, std::vector<float> roots,
                   std::vector<float> centroids, std::vector<float> codewords)
    : heads_(heads),
      size_(size),
      d_(d),
      roots_(std::move(roots)),
      centroids_(std::move(centroids)),
      codewords_(std::move(codewords)) {
  if (size < 1 || size > kMostCodewords)
    throw ArgumentError(
        text("codewords = ", size, "; a head takes 1 to ", kMostCodewords, " of them"));
  const auto require = [](const std::vector<float>& x, size_t n, const char* name) {
    if (x.size() != n)
      throw DimensionError(text(name, " holds ", x.size(), " values; expected ", n));
    if (!finite(x.data(), n)) throw ArgumentError(text(name, " holds NaN or infinities"));
  };
  require(roots_, heads * d * d, "the roots");
  require(centroids_, heads * size * d, "the centroids");
  require(codewords_, heads * size * d, "the codewords");
  for (size_t h = 0; h < heads; ++h)
    nearest_.emplace_back(Matrix<const float>{centroids_.data() + h * size * d, size, d},
                          Metric::l2);
}

void Codebook::encode(size_t head, const float* keys, size_t n, slot_t* codes) const {
  std::vector<float> turned(n * d_), distances(n);
  kernels::active().dot_f32(keys, d_, n, roots_.data() + head * d_ * d_, d_, d_, d_, turned.data(),
                            d_);
  std::fill_n(codes, n, kNoSlot);
  nearest_[head].assign(as_rows({turned.data(), n, d_}), codes, distances.data());
}

Codes::Codes(std::shared_ptr<const Codebook> book) : book_(std::move(book)) {
  heads_.resize(book_->heads());
  for (Head& head : heads_) head.newest.assign(book_->size(), kNoSlot);
}

size_t Codes::size() const {
  const std::shared_lock hold(lock_);
  return heads_.front().codes.size();
}

void Codes::append(const float* keys, size_t n) {
  check_finite(as_rows({keys, book_->heads() * n, book_->d()}), "append");
  const size_t d = book_->d(), blocks = (n + kBlock - 1) / kBlock;
  std::vector<uint16_t> codes(book_->heads() * n);
  parallel_for(book_->heads() * blocks, {}, [&](size_t begin, size_t end, size_t) {
    slot_t found[kBlock];
    for (size_t i = begin; i < end; ++i) {
      const size_t head = i / blocks, first = i % blocks * kBlock;
      const size_t count = std::min(kBlock, n - first);
      book_->encode(head, keys + (head * n + first) * d, count, found);
      std::copy_n(found, count, codes.begin() + static_cast<ptrdiff_t>(head * n + first));
    }
  });
  append_codes(codes.data(), n);
}

void Codes::append_codes(const uint16_t* codes, size_t n) {
  for (size_t i = 0; i < heads_.size() * n; ++i)
    if (codes[i] >= book_->size())
      throw ArgumentError(text("code ", codes[i], " is not one of ", book_->size(), " codewords"));
  const std::lock_guard hold(lock_);
  const size_t before = heads_.front().codes.size();
  if (n > kNoSlot - before)
    throw ArgumentError(text("a sequence of ", before, " tokens cannot take ", n,
                             " more; it holds at most ", kNoSlot));
  for (Head& head : heads_) {  // no allocation may fail between the heads
    if (head.codes.capacity() < before + n) head.codes.reserve(std::max(before + n, 2 * before));
    if (head.older.capacity() < before + n) head.older.reserve(std::max(before + n, 2 * before));
  }
  for (size_t h = 0; h < heads_.size(); ++h) link(heads_[h], codes + h * n, n);
}

void Codes::link(Head& head, const uint16_t* codes, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    slot_t& newest = head.newest[codes[i]];
    head.older.push_back(newest);
    newest = static_cast<slot_t>(head.codes.size());
    head.codes.push_back(codes[i]);
  }
}

std::vector<uint16_t> Codes::codes() const {
  const std::shared_lock hold(lock_);
  std::vector<uint16_t> out;
  for (const Head& head : heads_) out.insert(out.end(), head.codes.begin(), head.codes.end());
  return out;
}

void Codes::truncate(size_t n) {
  const std::lock_guard hold(lock_);
  for (Head& head : heads_)
    while (head.codes.size() > n) {
      head.newest[head.codes.back()] = head.older.back();
      head.codes.pop_back();
      head.older.pop_back();
    }
}

struct Codes::Scratch {
  std::vector<float> scores;
  std::vector<hit_t> hits;
  Bitmap chosen;
};

// The lists of the token at `position`, from the queries of the `group` heads that share a KV
// head: one list, or one for each.
void Codes::select(size_t h, size_t group, size_t position, const float* queries, size_t stride,
                   const Wanted& wanted, Scratch& s, std::vector<id_t>* lists) const {
  const Head& head = heads_[h];
  const size_t size = book_->size(), d = book_->d(), tokens = position + 1;
  const size_t sink = std::min(wanted.sink, tokens);
  const size_t far =
      std::max(sink, tokens - std::min(wanted.window, tokens));  // to score: [sink, far)
  const bool all = wanted.k >= far - sink;
  if (!all && wanted.k > 0) {
    s.scores.resize(group * size);
    kernels::active().dot_f32(queries, stride, group, book_->codewords(h), d, size, d,
                              s.scores.data(), size);
    if (!finite(s.scores.data(), s.scores.size()))
      throw ArgumentError(
          "a query holds NaN or infinities, or is too long for its scores to be float32");
  }
  const auto begin = [&] {
    s.chosen = Bitmap(tokens, all);
    for (size_t i = 0; i < sink; ++i) s.chosen.set(i);
    for (size_t i = far; i < tokens; ++i) s.chosen.set(i);
  };
  const auto end = [&](std::vector<id_t>& list) {
    list.reserve(s.chosen.count());
    s.chosen.for_each([&](slot_t token) { list.push_back(token); });
  };
  begin();
  for (size_t g = 0; g < group; ++g) {
    if (!all && wanted.k > 0) {
      s.hits.clear();
      for (size_t c = 0; c < size; ++c)
        if (head.newest[c] != kNoSlot)
          s.hits.push_back(make_hit(-s.scores[g * size + c], static_cast<slot_t>(c)));
      std::make_heap(s.hits.begin(), s.hits.end(), std::greater<>());
      // There are more tokens than wanted, so the heap is never empty before k are found.
      for (size_t found = 0; found < wanted.k;) {
        std::pop_heap(s.hits.begin(), s.hits.end(), std::greater<>());
        slot_t token = head.newest[slot_of(s.hits.back())];
        s.hits.pop_back();
        for (; token != kNoSlot && token >= sink && found < wanted.k; token = head.older[token])
          if (token < far) {
            s.chosen.set(token);
            ++found;
          }
      }
    }
    if (!wanted.unite) {
      end(lists[g]);
      if (g + 1 < group) begin();
    }
  }
  if (wanted.unite) end(*lists);
}

Lists Codes::topk(const float* queries, size_t query_heads, size_t t, const Wanted& wanted) const {
  const std::shared_lock hold(lock_);
  const size_t n = heads_.front().codes.size(), d = book_->d();
  const size_t heads = heads_.size(), group = query_heads / heads;
  if (query_heads % heads || !group)
    throw DimensionError(text("there are ", query_heads,
                              " query heads, which is no multiple of the ", heads, " KV heads"));
  if (t > n)
    throw ArgumentError(text("there are queries of ", t, " tokens, but keys of ", n,
                             " only; append the keys of the queries' tokens first"));
  const size_t each = wanted.unite ? 1 : group;  // lists of one KV head and token
  std::vector<std::vector<id_t>> lists(heads * each * t);
  parallel_for(heads * t, {}, [&](size_t begin, size_t end, size_t) {
    Scratch scratch;
    std::vector<std::vector<id_t>> found(each);
    for (size_t i = begin; i < end; ++i) {
      const size_t h = i / t, at = i % t;
      select(h, group, n - t + at, queries + (h * group * t + at) * d, t * d, wanted, scratch,
             found.data());
      for (size_t g = 0; g < each; ++g)
        lists[(h * each + g) * t + at] = std::exchange(found[g], {});
    }
  });
  Lists out;
  for (const auto& list : lists)
    out.offsets.push_back(out.offsets.back() + static_cast<int64_t>(list.size()));
  out.ids.reserve(static_cast<size_t>(out.offsets.back()));
  for (const auto& list : lists) out.ids.insert(out.ids.end(), list.begin(), list.end());
  return out;
}

}  // namespace shortlist::kv
