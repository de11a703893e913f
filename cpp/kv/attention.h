// Attention over listed tokens of a cache in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"

namespace shortlist::kv {

enum class Storage : uint8_t { f32, f16, bf16 };

// Keys or values of one layer: value t of token i of head h is at
// data + h * head_stride + i * token_stride, strides in bytes, and the next t follow it.
struct Cache {
  const std::byte* data;
  size_t heads, n, d;
  size_t head_stride, token_stride;
  Storage storage;
};

// out (heads, t, values.d) of queries (heads, t, keys.d): softmax(scale <query, key>) over the
// tokens of a list, times their values. Lists are as Codes::topk gives them, one of each KV head
// and token or one of each query head and token: ids in any order, each once. The result does not
// depend on the number of threads.
//
// Throws IdError for ids that are not there or are twice in a list, ArgumentError for empty lists
// and where NaN or infinities are met.
void attention(const float* queries, size_t heads, size_t t, const Cache& keys, const Cache& values,
               const id_t* ids, const int64_t* offsets, size_t list_heads, float scale, float* out);

}  // namespace shortlist::kv
