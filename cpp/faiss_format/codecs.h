// Quantizers as faiss's files hold them within indexes.
#pragma once

#include <memory>

#include "codec/oddint/rabitq_codec.h"
#include "codec/product.h"
#include "codec/scalar.h"
#include "faiss_format/fields.h"

namespace shortlist::faiss_format {

// Of an index of d dimensions.
std::shared_ptr<ProductQuantizer> read_product(Input& in, size_t d, bool is_trained);
std::shared_ptr<ScalarQuantizer> read_scalar(Input& in, size_t d, bool is_trained);
// What stands there of a RaBitQuantizer. Codes in lists are relative to the lists' centroids.
struct RaBitQ {
  std::shared_ptr<RaBitQCodec> codec;
  size_t code_size;
};
RaBitQ read_rabitq(Input& in, size_t d, Metric metric, bool one_bit);
// Throws UnsupportedError for n codes whose factors have other meanings.
void check_factors(const RaBitQCodec& codec, const std::byte* codes, size_t n);
void write(const ProductQuantizer& pq, Output& out);
void write(const ScalarQuantizer& sq, Output& out);
void write(const RaBitQCodec& codec, Output& out, bool one_bit);

}  // namespace shortlist::faiss_format
