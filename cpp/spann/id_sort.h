// Ids that come in any order, into one file, within some memory: pieces are sorted, and merged.
#pragma once

#include <string>
#include <vector>

#include "base/threads.h"
#include "spann/ids.h"

namespace shortlist::spann {

// Of an id that comes more than once the smallest place is kept.
class IdSorter {
 public:
  static constexpr size_t kMost = size_t{1} << 18;

  // At most so many ids are in memory; more lie in files beside `path`, which stay.
  IdSorter(std::string path, uint64_t build, size_t most = kMost)
      : path_(std::move(path)), build_(build), most_(most) {}

  void add(const IdPlace& some);
  // Writes the file, whole or not at all.
  void finish();

 private:
  void write_sorted(const std::string& path);

  const std::string path_;
  const uint64_t build_;
  const size_t most_;
  std::vector<IdPlace> held_;
  std::vector<std::string> pieces_;
};

// A place that is the number of a split in its bucket, not of a posting.
inline constexpr uint64_t kSplit = (kMostPlace + 1) / 2;

// Merges files of one build into one. splits[f] is the posting that the first split of file f is;
// without any, places stay what they are. Throws CorruptIndexError, and ArgumentError for files of
// another build.
void merge_ids(const std::vector<std::string>& files, const std::vector<uint64_t>& splits,
               IdWriter& to, const ProgressFn& progress = {});

}  // namespace shortlist::spann
