// Indexes in the native container: every class, restored exactly.
#pragma once

#include <memory>
#include <shared_mutex>
#include <vector>

#include "index/index.h"
#include "io/container.h"

namespace shortlist {

using Metadata = io::Fields;  // the user's own, saved beside the index

void save(const Index& index, io::Sink& sink, const Metadata& metadata = {});
// Throws CorruptIndexError for damaged and foreign data.
std::shared_ptr<Index> load(io::Source& source, Metadata* metadata = nullptr);
// Reads the beginning of a saved index only.
Metadata load_metadata(io::Source& source);

// Shared locks on an index and all it wraps, each taken once, for a consistent copy of the whole.
using ReadLocks = std::vector<std::shared_lock<RwLock>>;
ReadLocks lock_for_reading(const Index& index);

}  // namespace shortlist
