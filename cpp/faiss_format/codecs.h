// Quantizers as faiss's files hold them within indexes.
#pragma once

#include <memory>

#include "codec/product.h"
#include "codec/scalar.h"
#include "faiss_format/fields.h"

namespace shortlist::faiss_format {

// Of an index of d dimensions.
std::shared_ptr<ProductQuantizer> read_product(Input& in, size_t d, bool is_trained);
std::shared_ptr<ScalarQuantizer> read_scalar(Input& in, size_t d, bool is_trained);
void write(const ProductQuantizer& pq, Output& out);
void write(const ScalarQuantizer& sq, Output& out);

}  // namespace shortlist::faiss_format
