#include "spann/id_sort.h"

#include <algorithm>
#include <queue>

namespace shortlist::spann {

void IdSorter::add(const IdPlace& some) {
  if (held_.size() == most_) {
    pieces_.push_back(text(path_, "-", pieces_.size()));
    write_sorted(pieces_.back());
  }
  held_.push_back(some);
}

void IdSorter::write_sorted(const std::string& path) {
  std::sort(held_.begin(), held_.end());
  const auto same = [](const IdPlace& a, const IdPlace& b) { return a.id == b.id; };
  held_.erase(std::unique(held_.begin(), held_.end(), same), held_.end());
  const auto sink = io::create_file(path);
  IdWriter writer(*sink, build_);
  for (const IdPlace& next : held_) writer.add(next);
  writer.finish();
  sink->commit();
  held_.clear();
}

void IdSorter::finish() {
  if (pieces_.empty()) return write_sorted(path_);
  pieces_.push_back(text(path_, "-", pieces_.size()));
  write_sorted(pieces_.back());
  const auto sink = io::create_file(path_);
  IdWriter writer(*sink, build_);
  merge_ids(pieces_, {}, writer);
  writer.finish();
  sink->commit();
}

void merge_ids(const std::vector<std::string>& paths, const std::vector<uint64_t>& splits,
               IdWriter& to, const ProgressFn& progress) {
  if (!splits.empty() && splits.size() != paths.size())
    throw ArgumentError(text("splits of ", splits.size(), " files; there are ", paths.size()));
  constexpr size_t kEach = size_t{1} << 20;  // ids between two reports
  std::vector<std::unique_ptr<IdFile>> files;
  std::vector<IdFile::Reader> readers;
  size_t done = 0, total = 0;
  for (const std::string& path : paths) {
    files.push_back(std::make_unique<IdFile>(path));
    if (files.back()->build() != to.build())
      throw ArgumentError(text("the ids in '", path, "' are not of the same build as the others"));
    readers.emplace_back(*files.back());
    total += files.back()->size();
  }
  using Next = std::pair<IdPlace, size_t>;  // and its reader
  std::priority_queue<Next, std::vector<Next>, std::greater<>> queue;
  const auto advance = [&](size_t r) {
    if (!readers[r].next()) return;
    auto [id, place] = readers[r].now();
    if (!splits.empty() && place >= kSplit) place += splits[r] - kSplit;
    queue.push({{id, place}, r});
  };
  for (size_t r = 0; r < readers.size(); ++r) advance(r);
  for (id_t last = -1; !queue.empty();) {
    const auto [next, r] = queue.top();
    queue.pop();
    if (next.id != last) to.add(next);
    last = next.id;
    advance(r);
    if (++done % kEach == 0 && progress) progress(done, total);
  }
}

}  // namespace shortlist::spann
