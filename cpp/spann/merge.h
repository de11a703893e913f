// From the runs of all shards to the postings of one bucket: a function of files alone, which gives
// the same bytes again.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lists/lists.h"
#include "spann/id_sort.h"
#include "spann/postings.h"
#include "spann/runs.h"

namespace shortlist::spann {

struct MergeOptions {
  size_t limit;          // vectors of a posting, at most
  size_t buffer;         // bytes for reading each run
  uint64_t seed = 1234;  // of splits
};

struct Merged {
  uint64_t entries = 0, dropped = 0;  // replicas that postings had no room for
  std::vector<float> centroids;       // of splits, in their order
  std::vector<slot_t> parents;        // of splits: relative to whose centroid their codes are
};

// Writes the postings of a bucket, entries in the order of runs. A posting that is longer than the
// limit loses replicas, the farthest first, but never a vector's nearest; what is left over the
// limit is split by k-means: its first part stays, the others follow behind the last posting. Codes
// of splits stay what they are, relative to the centroid of their parent.
//
// `ids` gets where each vector is: the posting of its nearest copy, kSplit and its number for a
// split; or its row, which stands before the form's bytes in codes that are longer by 8.
// centroid(posting, out) gives a centroid. Throws CorruptIndexError where a run is damaged,
// ArgumentError where runs do not fit.
Merged merge(const std::vector<std::string>& runs, size_t bucket, slot_t begin, slot_t end,
             const MergeOptions& options, const lists::Form& form, size_t d,
             const std::function<void(slot_t, float*)>& centroid, PostingWriter& to, IdSorter& ids);

}  // namespace shortlist::spann
