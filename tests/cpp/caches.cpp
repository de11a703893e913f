// Caches of language models: lists and attention as brute force has them, in memory of exactly the
// size that is needed, and tokens appended while others ask.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "base/threads.h"
#include "check.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"
#include "kv/attention.h"
#include "kv/codes.h"

namespace shortlist::test {
namespace {

std::vector<float> normals(Random& random, size_t n) {
  std::vector<float> out(n);
  for (float& x : out) x = random.normal();
  return out;
}

// A codebook whose root is the identity.
std::shared_ptr<const kv::Codebook> codebook(Random& random, size_t heads, size_t size, size_t d) {
  std::vector<float> roots(heads * d * d);
  for (size_t h = 0; h < heads; ++h)
    for (size_t i = 0; i < d; ++i) roots[(h * d + i) * d + i] = 1;
  const auto words = normals(random, heads * size * d);
  return std::make_shared<kv::Codebook>(heads, size, d, roots, words, words);
}

void lists_hold_the_best(Random& random) {
  for (int round = 0; round < 40; ++round) {
    const size_t heads = random.between(1, 3), group = random.between(1, 3);
    const size_t d = random.between(1, 40), size = random.between(1, 70),
                 n = random.between(1, 300);
    kv::Codes codes(codebook(random, heads, size, d));
    codes.append(normals(random, heads * n * d).data(), n);
    const size_t t = random.between(1, n < 4 ? n : 4);
    const kv::Wanted wanted{random.between(0, n), random.between(0, 9), random.between(1, 20),
                            true};
    const auto queries = normals(random, heads * group * t * d);
    const auto found = codes.topk(queries.data(), heads * group, t, wanted);
    CHECK_EQ(found.offsets.size(), heads * t + 1);
    for (size_t list = 0; list < heads * t; ++list) {
      const size_t tokens = n - t + list % t + 1;
      const auto* begin = found.ids.data() + found.offsets[list];
      const auto* end = found.ids.data() + found.offsets[list + 1];
      CHECK(static_cast<size_t>(end - begin) >= std::min(tokens, wanted.k));
      for (const auto* id = begin; id != end; ++id) {
        CHECK(*id >= 0 && static_cast<size_t>(*id) < tokens);
        CHECK(id == begin || id[-1] < *id);
      }
      CHECK_EQ(end[-1], static_cast<id_t>(tokens - 1));
    }
    codes.truncate(n / 2);
    CHECK_EQ(codes.size(), n / 2);
  }
}

void attention_is_a_softmax(Random& random) {
  for (int round = 0; round < 40; ++round) {
    const size_t kv_heads = random.between(1, 2), group = random.between(1, 3);
    const size_t n = random.between(1, 200), d = random.between(1, 70);
    const auto storage = static_cast<kv::Storage>(random.below(3));
    const size_t width = storage == kv::Storage::f32 ? 4 : 2;
    auto keys = normals(random, kv_heads * n * d);
    std::vector<std::byte> bytes(keys.size() * width);
    for (size_t i = 0; i < keys.size(); ++i) {
      uint16_t half;
      if (storage == kv::Storage::f32) {
        std::memcpy(bytes.data() + 4 * i, &keys[i], 4);
        continue;
      }
      if (storage == kv::Storage::f16) {
        kernels::active().narrow_f16(&keys[i], 1, &half);
        kernels::active().widen_f16(&half, 1, &keys[i]);
      } else {
        half = narrow_bf16(keys[i]);
        keys[i] = widen_bf16(half);
      }
      std::memcpy(bytes.data() + 2 * i, &half, 2);
    }
    const kv::Cache cache{bytes.data(), kv_heads, n, d, n * d * width, d * width, storage};
    const size_t heads = kv_heads * group;
    const auto queries = normals(random, heads * d);
    std::vector<id_t> ids;
    std::vector<int64_t> offsets{0};
    for (size_t list = 0; list < kv_heads; ++list) {
      for (size_t i = 0; i < n; ++i)
        if (i == 0 || random.chance(0.5)) ids.push_back(static_cast<id_t>(i));
      offsets.push_back(static_cast<int64_t>(ids.size()));
    }
    std::vector<float> out(heads * d);
    kv::attention(queries.data(), heads, 1, cache, cache, ids.data(), offsets.data(), kv_heads,
                  0.5f, out.data());
    for (size_t h = 0; h < heads; ++h) {
      std::vector<double> sum(d);
      double total = 0;
      for (auto i = offsets[h / group]; i < offsets[h / group + 1]; ++i) {
        const float* key = keys.data() + (h / group * n + static_cast<size_t>(ids[i])) * d;
        double dot = 0;
        for (size_t j = 0; j < d; ++j) dot += double{queries[h * d + j]} * key[j];
        const double weight = std::exp(dot / 2);
        total += weight;
        for (size_t j = 0; j < d; ++j) sum[j] += weight * key[j];
      }
      for (size_t j = 0; j < d; ++j) CHECK(std::fabs(sum[j] / total - out[h * d + j]) < 1e-3);
    }
  }
}

void asking_while_appending(Random& random) {
  constexpr size_t kHeads = 2, kDims = 16, kTokens = 2000;
  kv::Codes codes(codebook(random, kHeads, 50, kDims));
  const auto keys = normals(random, kHeads * kDims), queries = normals(random, kHeads * kDims);
  codes.append(keys.data(), 1);
  std::thread writer([&] {
    for (size_t i = 1; i < kTokens; ++i) codes.append(keys.data(), 1);
  });
  while (codes.size() < kTokens) {
    const auto found = codes.topk(queries.data(), kHeads, 1, {10, 2, 4, true});
    CHECK(found.ids.size() <= 2 * 16);
  }
  writer.join();
  CHECK_EQ(codes.codes().size(), kHeads * kTokens);
}

}  // namespace

void caches(uint64_t seed) {
  Random random(seed);
  lists_hold_the_best(random);
  attention_is_a_softmax(random);
  asking_while_appending(random);
}

}  // namespace shortlist::test
