#include "spann/merge.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <queue>

#include "base/error.h"
#include "base/threads.h"
#include "cluster/hierarchical.h"

namespace shortlist::spann {
namespace {

// The entries of one posting.
struct Entries {
  std::vector<id_t> ids;
  std::vector<std::byte> codes;
  std::vector<float> distances;
  std::vector<uint32_t> ranks;

  size_t size() const { return ids.size(); }
  void clear() {
    ids.clear();
    codes.clear();
    distances.clear();
    ranks.clear();
  }
  void add(const EntryHead& head, const std::byte* code, size_t code_size) {
    ids.push_back(head.id);
    codes.insert(codes.end(), code, code + code_size);
    distances.push_back(head.distance);
    ranks.push_back(head.rank);
  }
  // Those of these numbers, which ascend.
  void keep(const std::vector<size_t>& which, size_t code_size) {
    for (size_t i = 0; i < which.size(); ++i) {
      ids[i] = ids[which[i]];
      ranks[i] = ranks[which[i]];
      distances[i] = distances[which[i]];
      const std::byte* from = codes.data() + which[i] * code_size;
      std::copy_n(from, code_size, codes.data() + i * code_size);
    }
    ids.resize(which.size());
    ranks.resize(which.size());
    distances.resize(which.size());
    codes.resize(which.size() * code_size);
  }
};

// Drops replicas, the farthest first, while there are more than `limit` entries; returns how many.
size_t drop_replicas(Entries& entries, size_t limit, size_t code_size) {
  if (entries.size() <= limit) return 0;
  std::vector<size_t> order(entries.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const bool replica_a = entries.ranks[a] > 0, replica_b = entries.ranks[b] > 0;
    if (replica_a != replica_b) return replica_b;
    return replica_a && entries.distances[a] < entries.distances[b];
  });
  const auto nearest =
      static_cast<size_t>(std::count(entries.ranks.begin(), entries.ranks.end(), uint32_t{0}));
  const size_t kept = std::max(limit, nearest), dropped = entries.size() - kept;
  order.resize(kept);
  std::sort(order.begin(), order.end());
  entries.keep(order, code_size);
  return dropped;
}

}  // namespace

Merged merge(const std::vector<std::string>& runs, size_t bucket, slot_t begin, slot_t end,
             const MergeOptions& options, const lists::Form& form, size_t d,
             const std::function<void(slot_t, float*)>& centroid, PostingWriter& to,
             IdSorter& ids) {
  if (options.limit < 1) throw ArgumentError("limit = 0; a posting must have room for a vector");
  std::vector<std::unique_ptr<RunFile>> files;
  std::vector<RunFile::Reader> readers;
  const size_t code_size = to.code_size();
  for (const std::string& path : runs) {
    files.push_back(std::make_unique<RunFile>(path));
    const RunFile& file = *files.back();
    if (bucket >= file.buckets() || file.build() != to.build() ||
        file.code_size() != to.code_size() || file.code_size() < form.code_size())
      throw ArgumentError(text("the run '", path, "' is not of the same build as the others"));
    readers.emplace_back(file, bucket, options.buffer);
  }
  using Next = std::pair<slot_t, size_t>;  // posting, reader
  std::priority_queue<Next, std::vector<Next>, std::greater<>> queue;
  const auto advance = [&](size_t r) {
    if (!readers[r].next()) return;
    const slot_t posting = readers[r].head().posting;
    if (posting < begin || posting >= end)
      throw ArgumentError(text("the run '", runs[r], "' has posting ", posting, " in bucket ",
                               bucket, ", which holds ", begin, " to ", end));
    queue.emplace(posting, r);
  };
  for (size_t r = 0; r < readers.size(); ++r) advance(r);

  Merged out;
  Entries entries, splits;
  std::vector<size_t> split_ends;
  std::vector<float> vectors, own(d);
  const size_t prefix = code_size - form.code_size();
  if (prefix && prefix != sizeof(uint64_t))
    throw ArgumentError(text(prefix, " bytes before each code; there may be 8, its row"));
  const auto tell = [&](const Entries& some, uint64_t place) {
    for (size_t i = 0; i < some.size(); ++i) {
      if (some.ranks[i] > 0) continue;
      if (prefix) std::memcpy(&place, &some.codes[i * code_size], sizeof place);
      ids.add({some.ids[i], place});
    }
  };
  for (slot_t posting = begin; posting < end; ++posting) {
    poll_interrupt();
    entries.clear();
    while (!queue.empty() && queue.top().first == posting) {
      const size_t r = queue.top().second;
      queue.pop();
      entries.add(readers[r].head(), readers[r].code(), code_size);
      advance(r);
    }
    out.dropped += drop_replicas(entries, options.limit, code_size);
    out.entries += entries.size();
    if (entries.size() <= options.limit) {
      tell(entries, posting);
      to.add(entries.ids.data(), entries.codes.data(), entries.size());
      continue;
    }
    std::vector<std::byte> codes(entries.size() * form.code_size());
    for (size_t i = 0; i < entries.size(); ++i)
      std::copy_n(&entries.codes[i * code_size + prefix], form.code_size(),
                  &codes[i * form.code_size()]);
    centroid(posting, own.data());
    vectors.resize(entries.size() * d);
    form.decode(codes.data(), entries.size(), own.data(), vectors.data());
    const auto parts = cluster::hierarchical_kmeans({vectors.data(), entries.size(), d, DType::f32},
                                                    options.limit, {.seed = options.seed});
    const size_t count = parts.centroids.size() / d;
    for (slot_t part = 0; part < count; ++part) {
      Entries some;
      for (size_t i = 0; i < entries.size(); ++i)
        if (parts.labels[i] == part)
          some.add({entries.ids[i], posting, entries.distances[i], entries.ranks[i]},
                   &entries.codes[i * code_size], code_size);
      tell(some, part == 0 ? posting : kSplit + split_ends.size());
      if (part == 0) {
        to.add(some.ids.data(), some.codes.data(), some.size());
        continue;
      }
      splits.ids.insert(splits.ids.end(), some.ids.begin(), some.ids.end());
      splits.codes.insert(splits.codes.end(), some.codes.begin(), some.codes.end());
      split_ends.push_back(splits.size());
      out.parents.push_back(posting);
      const auto mean = parts.centroids.begin() + static_cast<ptrdiff_t>(part * d);
      out.centroids.insert(out.centroids.end(), mean, mean + static_cast<ptrdiff_t>(d));
    }
  }
  size_t at = 0;
  for (const size_t split_end : split_ends) {
    to.add(&splits.ids[at], &splits.codes[at * code_size], split_end - at, true);
    at = split_end;
  }
  return out;
}

}  // namespace shortlist::spann
