// What the native container says of codecs: the fields of an index's record, and sections of its
// own.
#pragma once

#include <memory>
#include <string>

#include "codec/lsh.h"
#include "codec/oddint/codec.h"
#include "codec/oddint/rabitq_codec.h"
#include "codec/product.h"
#include "codec/scalar.h"
#include "index/record.h"

namespace shortlist {

// Adds fields to the record of the index at `at` and writes it, and then its sections.
void save_scalar(io::ContainerWriter& out, const ScalarQuantizer& sq, const std::string& at,
                 io::Fields& fields);
void save_lsh(io::ContainerWriter& out, const LshCodec& lsh, const std::string& at,
              io::Fields& fields);
void save_oddint(io::ContainerWriter& out, const OddIntCodec& codec, const std::string& at,
                 io::Fields& fields);
void save_product(io::ContainerWriter& out, const ProductQuantizer& pq, const std::string& at,
                  io::Fields& fields);

// Throw CorruptIndexError on what cannot be.
DType dtype_named(const std::string& name);
std::shared_ptr<ScalarQuantizer> load_scalar(io::ContainerReader& in, size_t d,
                                             const Record& record, const std::string& at);
std::shared_ptr<LshCodec> load_lsh(io::ContainerReader& in, size_t d, const Record& record,
                                   const std::string& at);
std::shared_ptr<OddIntCodec> load_oddint(io::ContainerReader& in, const Record& record,
                                         const std::string& at);
std::shared_ptr<RaBitQCodec> load_rabitq(io::ContainerReader& in, const Record& record,
                                         const std::string& at);
std::shared_ptr<ProductQuantizer> load_product(io::ContainerReader& in, size_t d,
                                               const Record& record, const std::string& at);

}  // namespace shortlist
