// Transforms in the native container.
#pragma once

#include <memory>
#include <string>

#include "codec/transform/transform.h"
#include "io/container.h"
#include "io/stream.h"

namespace shortlist {

// The caller holds its lock.
void save_transform(io::ContainerWriter& out, const VectorTransform& transform,
                    const std::string& at);
std::shared_ptr<VectorTransform> load_transform(io::ContainerReader& in, const std::string& at);

// A container of its own.
void save(const VectorTransform& transform, io::Sink& sink);
std::shared_ptr<VectorTransform> load_transform(io::Source& source);

}  // namespace shortlist
