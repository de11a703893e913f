// Transforms in faiss's files.
#pragma once

#include <memory>

#include "codec/transform/transform.h"
#include "faiss_format/fields.h"

namespace shortlist::faiss_format {

// The caller holds the transform's lock.
void write_transform(const VectorTransform& transform, Output out);
std::shared_ptr<VectorTransform> read_transform(Input in);

}  // namespace shortlist::faiss_format
