// IndexSPANN: what is under an id, and how that changes.
#include <algorithm>
#include <numeric>
#include <shared_mutex>

#include "base/error.h"
#include "index/spann.h"

namespace shortlist {
namespace {

constexpr id_t kMostId = std::numeric_limits<id_t>::max();

}  // namespace

std::vector<bool> IndexSPANN::has(std::span<const id_t> ids) const {
  const std::shared_lock hold(lock());
  auto out = ids_.has(ids);
  for (size_t i = 0; i < ids.size(); ++i)
    out[i] = added_.contains(ids[i]) || (out[i] && !hidden_.contains(ids[i]));
  return out;
}

void IndexSPANN::do_add(const Rows& x, const AddOptions& options) {
  if (x.n > static_cast<size_t>(kMostId - parts_.next_id))
    throw ArgumentError(text("there are no ids for ", x.n, " vectors after ", parts_.next_id - 1,
                             "; pass ids to add_with_ids"));
  std::vector<id_t> ids(x.n);
  std::iota(ids.begin(), ids.end(), parts_.next_id);
  do_add_with_ids(x, ids.data(), options);
}

void IndexSPANN::do_add_with_ids(const Rows& x, const id_t* ids, const AddOptions&) {
  const auto odd = std::find_if(ids, ids + x.n, [](id_t id) { return id < 0 || id == kMostId; });
  if (odd != ids + x.n)
    throw ArgumentError(text("id ", *odd, "; ids on disk are from 0 to ", kMostId - 1));
  std::vector<float> scratch;
  const float* floats = as_floats(x, scratch);
  std::vector<std::byte> codes(x.n * whole_->code_size());
  whole_->encode({floats, x.n, d}, nullptr, codes.data());
  const auto replaced = ids_.has({ids, x.n});
  // Codes and their ids stay of one length, whatever runs out of memory.
  const size_t before = added_ids_.size();
  added_ids_.reserve(before + x.n);
  added_codes_->append(codes.data(), x.n);
  added_ids_.insert(added_ids_.end(), ids, ids + x.n);
  for (size_t i = 0; i < x.n; ++i) {
    if (replaced[i]) hidden_.insert(ids[i]);
    added_[ids[i]] = before + i;
    reserve_ids(ids[i] + 1);
  }
}

size_t IndexSPANN::do_remove(const Selector& sel) {
  Members found;
  if (const auto* some = dynamic_cast<const SelectorBatch*>(&sel)) {
    const std::vector<id_t> asked(some->ids().begin(), some->ids().end());
    const auto there = ids_.has(asked);
    for (size_t i = 0; i < asked.size(); ++i)
      if (added_.contains(asked[i]))
        found.added.push_back(asked[i]);
      else if (there[i] && !hidden_.contains(asked[i]))
        found.in_files.push_back(asked[i]);
  } else {
    found = find_members(sel);
  }
  for (const id_t id : found.added) added_.erase(id);
  hidden_.insert(found.in_files.begin(), found.in_files.end());
  return found.added.size() + found.in_files.size();
}

IndexSPANN::Members IndexSPANN::find_members(const Selector& sel) const {
  Members out;
  for (const auto& [id, row] : added_)
    if (sel.is_member(id)) out.added.push_back(id);
  for (spann::IdFile::Reader reader(ids_); reader.next();)
    if (shown(reader.now().id, &sel)) out.in_files.push_back(reader.now().id);
  return out;
}

std::vector<id_t> IndexSPANN::members(const Selector& sel) const {
  const std::shared_lock hold(lock());
  Members found = find_members(sel);
  std::vector<id_t> out = std::move(found.in_files);
  out.insert(out.end(), found.added.begin(), found.added.end());
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<id_t> IndexSPANN::hidden_ids() const {
  const std::shared_lock hold(lock());
  std::vector<id_t> out(hidden_.begin(), hidden_.end());
  std::sort(out.begin(), out.end());
  return out;
}

void IndexSPANN::do_reset() { unsupported("be emptied", "build another, or remove the folder"); }

void IndexSPANN::do_reconstruct_batch(const id_t* ids, size_t n, float* out) const {
  const auto absent = [&](id_t id) {
    return IdError(text("id ", id, " is not in this ", class_name(), " of ", ntotal(), " vectors"));
  };
  std::vector<id_t> asked;
  std::vector<Wanted> wanted, added;
  for (size_t i = 0; i < n; ++i) {
    const auto at = added_.find(ids[i]);
    if (at != added_.end()) {
      added.push_back({at->second, ids[i], i});
    } else {
      if (hidden_.contains(ids[i])) throw absent(ids[i]);
      asked.push_back(ids[i]);
      wanted.push_back({0, ids[i], i});
    }
  }
  if (!asked.empty()) {
    const auto places = ids_.find(asked);
    for (size_t i = 0; i < asked.size(); ++i) {
      if (places[i] == spann::kNoPlace) throw absent(asked[i]);
      if (places[i] >= (reranks() ? vector_files_->rows() : postings_.postings()))
        throw CorruptIndexError(text("'", ids_.path(), "' has id ", asked[i], " at ", places[i],
                                     ", which is not there; restore it, or build it again"));
      wanted[i].place = places[i];
    }
    reranks() ? reconstruct_rows(wanted, out) : reconstruct_in_postings(wanted, out);
  }
  std::vector<std::byte> code(whole_->code_size());
  for (const Wanted& one : added) {
    added_codes_->codes(static_cast<slot_t>(one.place), 1, code.data());
    whole_->decode(code.data(), 1, nullptr, out + one.row * d);
  }
}

void IndexSPANN::reconstruct_rows(std::span<const Wanted> wanted, float* out) const {
  std::vector<uint64_t> rows;
  for (const Wanted& one : wanted) rows.push_back(one.place);
  spann::Room room;
  vector_files_->read(rows, room, [&](size_t i, const std::byte* code) {
    whole_->decode(code, 1, nullptr, out + wanted[i].row * d);
  });
}

void IndexSPANN::reconstruct_in_postings(std::span<const Wanted> wanted, float* out) const {
  std::vector<Wanted> order(wanted.begin(), wanted.end());
  const auto by_place = [](const Wanted& a, const Wanted& b) { return a.place < b.place; };
  std::sort(order.begin(), order.end(), by_place);
  std::vector<slot_t> numbers;
  for (const Wanted& one : order)
    if (numbers.empty() || numbers.back() != one.place)
      numbers.push_back(static_cast<slot_t>(one.place));
  const auto missing = [&](id_t id, slot_t posting) {
    return CorruptIndexError(text("id ", id, " is not in posting ", posting, ", where '",
                                  ids_.path(), "' has it; restore the files, or build it again"));
  };
  spann::Room room;
  size_t found = 0;
  postings_.read(numbers, room, [&](const spann::PostingFiles::Posting& posting) {
    const auto [first, last] =
        std::equal_range(order.begin(), order.end(), Wanted{posting.number, 0, 0}, by_place);
    for (auto one = first; one != last; ++one, ++found) {
      const id_t* at = std::find(posting.ids, posting.ids + posting.n, one->id);
      if (at == posting.ids + posting.n) throw missing(one->id, posting.number);
      const std::byte* code = posting.codes + (at - posting.ids) * postings_.code_size();
      whole_->decode(code, 1, nullptr, out + one->row * d);
    }
  });
  if (found < order.size())  // in postings that are empty
    for (const Wanted& one : order)
      if (const auto p = static_cast<slot_t>(one.place); !postings_.count(p))
        throw missing(one.id, p);
}

}  // namespace shortlist
