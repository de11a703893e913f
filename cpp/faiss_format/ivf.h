// Inverted files in faiss's files.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "faiss_format/fields.h"
#include "index/ivf_pqr.h"

namespace shortlist::faiss_format {

bool is_ivf(uint32_t fourcc);  // whether read_ivf knows it

// What stands behind the header, which said d, metric and so on; nested() reads the quantizer.
struct IvfHeader {
  size_t d, n;
  bool is_trained;
  Metric metric;
};
std::shared_ptr<Index> read_ivf(Input& in, uint32_t fourcc, const IvfHeader& header,
                                const std::function<std::shared_ptr<Index>()>& nested);

// faiss finds a second code by its vector's id, which is a number below ntotal. The ids of the rows
// as they are written, or nothing if they are 0..n-1.
std::optional<std::vector<id_t>> row_ids(const IndexIVFPQR& index);

// The fourcc of its class; throws UnsupportedError for classes faiss does not have.
std::string_view fourcc_of(const IndexIVF& index);
// All behind the header; nested(quantizer) writes that.
void write_ivf(const IndexIVF& index, Output& out, const std::function<void(const Index&)>& nested);

}  // namespace shortlist::faiss_format
