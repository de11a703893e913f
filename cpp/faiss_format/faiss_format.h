// faiss's own files, byte for byte. They hold what faiss knows: no metadata, no checksums, and
// graphs without the slots of removed vectors.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "codec/transform/transform.h"
#include "index/binary.h"
#include "io/stream.h"

namespace shortlist {

// Rows are renumbered 0..n-1 where vectors were removed from a graph; ids that differ from that
// are kept by wrapping the graph in an IndexIDMap2. Storage other than float32 becomes the scalar
// quantizer that faiss has for it.
void write_faiss(const Index& index, io::Sink& sink);

// The class faiss would give. Throws CorruptIndexError for damaged and foreign data,
// UnsupportedError for classes and metrics that are not built in.
std::shared_ptr<Index> read_faiss(io::Source& source);
std::shared_ptr<IndexBinary> read_faiss_binary(io::Source& source);
// The same of a transform alone.
void write_faiss(const VectorTransform& transform, io::Sink& sink);
std::shared_ptr<VectorTransform> read_faiss_transform(io::Source& source);

namespace faiss_format {

constexpr uint32_t fourcc(std::string_view s) {
  uint32_t h = 0;
  for (size_t i = 0; i < 4; ++i)
    h |= static_cast<uint32_t>(static_cast<unsigned char>(s[i])) << (8 * i);
  return h;
}

// The class that faiss stores under a fourcc we do not read; empty if faiss has none either.
std::string_view class_of(uint32_t fourcc);

}  // namespace faiss_format
}  // namespace shortlist
