#include "kv/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"

namespace shortlist::kv {
namespace {

constexpr size_t kPart = 4096;  // tokens of a list that one thread takes
constexpr size_t kBlock = 64;   // tokens that stay in the cache for all heads of a group

// A list as rows: ascending, which reads memory forwards, and known to be there, each once.
std::vector<uint32_t> rows_of(const id_t* ids, size_t n, size_t tokens, size_t list) {
  std::vector<uint32_t> rows(n);
  bool ascending = true;
  for (size_t i = 0; i < n; ++i) {
    if (ids[i] < 0 || static_cast<uint64_t>(ids[i]) >= tokens)
      throw IdError(text("id ", ids[i], " of list ", list,
                         " is not there; the cache has tokens 0 to ", tokens - 1));
    rows[i] = static_cast<uint32_t>(ids[i]);
    ascending = ascending && (i == 0 || rows[i - 1] < rows[i]);
  }
  if (ascending) return rows;
  std::sort(rows.begin(), rows.end());
  const auto twice = std::adjacent_find(rows.begin(), rows.end());
  if (twice != rows.end())
    throw IdError(text("id ", *twice, " is in list ", list,
                       " more than once; a token can be attended to once"));
  return rows;
}

// What one part of a list gave one query: exponentials relative to exp(most).
struct Partial {
  float most = -std::numeric_limits<float>::infinity(), sum = 0;
};

class Reader {  // rows of one head of a cache
 public:
  Reader(const Cache& cache, size_t head)
      : cache_(cache), base_(cache.data + head * cache.head_stride) {
    if (cache.storage == Storage::bf16) wide_.resize(kBlock * cache.d);
  }
  // Begins with these rows; bfloat16 is widened once for all heads.
  void take(const uint32_t* rows, size_t n) {
    rows_ = rows;
    n_ = n;
    if (cache_.storage != Storage::bf16) return;
    for (size_t i = 0; i < n; ++i) {
      const std::byte* row = base_ + rows[i] * cache_.token_stride;
      for (size_t t = 0; t < cache_.d; ++t) {
        uint16_t value;
        __builtin_memcpy(&value, row + 2 * t, sizeof value);
        wide_[i * cache_.d + t] = widen_bf16(value);
      }
    }
  }
  void products(const float* query, float* out) const {
    const auto& kernel = kernels::active();
    const auto op = cache_.storage == Storage::f16 ? kernels::ip_f16 : kernels::ip_f32;
    kernel.rows[op](query, base(), stride(), rows(), n_, cache_.d, out);
  }
  void add(const float* weights, float* out) const {
    const auto& kernel = kernels::active();
    const auto sum =
        cache_.storage == Storage::f16 ? kernel.weighted_sum_f16 : kernel.weighted_sum_f32;
    sum(weights, base(), stride(), rows(), n_, cache_.d, out);
  }

 private:
  const std::byte* base() const {
    return wide_.empty() ? base_ : reinterpret_cast<const std::byte*>(wide_.data());
  }
  size_t stride() const { return wide_.empty() ? cache_.token_stride : cache_.d * sizeof(float); }
  const uint32_t* rows() const { return wide_.empty() ? rows_ : nullptr; }

  const Cache& cache_;
  const std::byte* base_;
  const uint32_t* rows_ = nullptr;
  size_t n_ = 0;
  std::vector<float> wide_;
};

}  // namespace

void attention(const float* queries, size_t heads, size_t t, const Cache& keys, const Cache& values,
               const id_t* ids, const int64_t* offsets, size_t list_heads, float scale,
               float* out) {
  if (list_heads == 0 || t == 0) return;
  const size_t lists = list_heads * t, shared = heads / list_heads;
  const size_t to_cache = list_heads / keys.heads;  // lists of one KV head and token
  struct Part {
    size_t list, begin, end;
  };
  std::vector<std::vector<uint32_t>> rows(lists);
  std::vector<Part> parts;
  for (size_t i = 0; i < lists; ++i) {
    const auto n = static_cast<size_t>(offsets[i + 1] - offsets[i]);
    if (n == 0)
      throw ArgumentError(text("list ", i, " is empty; a softmax needs at least one token"));
    for (size_t begin = 0; begin < n; begin += kPart)
      parts.push_back({i, begin, std::min(n, begin + kPart)});
  }
  parallel_for(lists, {}, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i)
      rows[i] =
          rows_of(ids + offsets[i], static_cast<size_t>(offsets[i + 1] - offsets[i]), keys.n, i);
  });

  const size_t d = values.d;
  std::vector<Partial> partials(parts.size() * shared);
  std::vector<float> sums(parts.size() * shared * d);
  const auto query_row = [&](size_t list, size_t g) {
    return (list / t * shared + g) * t + list % t;
  };
  parallel_for(parts.size(), {}, [&](size_t begin, size_t end, size_t) {
    const auto& kernel = kernels::active();
    for (size_t p = begin; p < end; ++p) {
      const Part part = parts[p];
      const size_t head = part.list / t / to_cache;
      Reader key(keys, head), value(values, head);
      for (size_t at = part.begin; at < part.end; at += kBlock) {
        const size_t n = std::min(kBlock, part.end - at);
        key.take(rows[part.list].data() + at, n);
        value.take(rows[part.list].data() + at, n);
        for (size_t g = 0; g < shared; ++g) {
          Partial& partial = partials[p * shared + g];
          float* sum = sums.data() + (p * shared + g) * d;
          float logits[kBlock];
          key.products(queries + query_row(part.list, g) * keys.d, logits);
          float most = partial.most;
          for (size_t i = 0; i < n; ++i) {
            logits[i] *= scale;
            most = std::max(most, logits[i]);
          }
          if (most > partial.most) {
            const float shrink = std::exp(partial.most - most);
            partial.sum *= shrink;
            for (size_t i = 0; i < d; ++i) sum[i] *= shrink;
            partial.most = most;
          }
          partial.sum += kernel.exps(logits, n, most);
          value.add(logits, sum);
        }
      }
    }
  });

  for (size_t first = 0; first < parts.size();) {
    size_t last = first;
    while (last < parts.size() && parts[last].list == parts[first].list) ++last;
    for (size_t g = 0; g < shared; ++g) {
      float* to = out + query_row(parts[first].list, g) * d;
      float most = -std::numeric_limits<float>::infinity(), total = 0;
      for (size_t p = first; p < last; ++p) most = std::max(most, partials[p * shared + g].most);
      std::fill_n(to, d, 0.f);
      for (size_t p = first; p < last; ++p) {
        const Partial& partial = partials[p * shared + g];
        const float weight = std::exp(partial.most - most);
        total += weight * partial.sum;
        const float* sum = sums.data() + (p * shared + g) * d;
        for (size_t i = 0; i < d; ++i) to[i] += weight * sum[i];
      }
      for (size_t i = 0; i < d; ++i) to[i] /= total;
      if (!finite(to, d))
        throw ArgumentError(
            text("the attention of list ", parts[first].list,
                 " is not finite: its queries, keys or values hold NaN or infinities"));
    }
    first = last;
  }
}

}  // namespace shortlist::kv
