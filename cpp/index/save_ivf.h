// Inverted files in the native container.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "index/ivf.h"
#include "index/record.h"

namespace shortlist {

// The record and what the codec learnt; then, behind the quantizer, the lists.
void save_ivf(io::ContainerWriter& out, const IndexIVF& index, const std::string& at,
              io::Fields& fields);
void save_ivf_lists(io::ContainerWriter& out, const IndexIVF& index, const std::string& at);
// Throws CorruptIndexError on what cannot be.
using LoadQuantizer = std::function<std::shared_ptr<Index>()>;
std::shared_ptr<Index> load_ivf(io::ContainerReader& in, const Record& record,
                                const std::string& at, const LoadQuantizer& quantizer);

}  // namespace shortlist
