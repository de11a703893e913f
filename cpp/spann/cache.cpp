#include "spann/cache.h"

#include <algorithm>

namespace shortlist::spann {

void PostingCache::resize(size_t bytes) {
  capacity_ = bytes;
  for (Part& part : parts_) {
    const std::lock_guard hold(part.lock);
    shrink(part, bytes / kParts);
  }
}

size_t PostingCache::memory() const {
  size_t out = 0;
  for (const Part& part : parts_) {
    const std::unique_lock hold(part.lock, std::try_to_lock);
    if (hold) out += part.bytes;
  }
  return out;
}

PostingCache::Handle PostingCache::find(slot_t number) {
  if (!capacity_) return nullptr;
  Part& part = parts_[number % kParts];
  const std::unique_lock hold(part.lock, std::try_to_lock);
  if (!hold) return nullptr;
  const auto at = part.places.find(number);
  if (at == part.places.end()) return nullptr;
  part.entries.splice(part.entries.begin(), part.entries, at->second);
  return at->second->held;
}

void PostingCache::put(const PostingFiles::Posting& posting, size_t code_size) {
  const size_t ids = posting.n * sizeof(id_t), codes = posting.n * code_size;
  const size_t most = capacity_ / kParts, bytes = ids + codes + kOverhead;
  if (bytes > most) return;
  auto held = std::make_shared<Held>();
  held->bytes = std::make_unique_for_overwrite<std::byte[]>(ids + codes);
  std::copy_n(reinterpret_cast<const std::byte*>(posting.ids), ids, held->bytes.get());
  std::copy_n(posting.codes, codes, held->bytes.get() + ids);
  held->posting = {posting.number, posting.n, reinterpret_cast<const id_t*>(held->bytes.get()),
                   held->bytes.get() + ids};
  Part& part = parts_[posting.number % kParts];
  const std::unique_lock hold(part.lock, std::try_to_lock);
  if (!hold || part.places.contains(posting.number)) return;
  shrink(part, most - bytes);
  part.entries.push_front({std::move(held), bytes});
  part.places[posting.number] = part.entries.begin();
  part.bytes += bytes;
}

void PostingCache::shrink(Part& part, size_t most) {
  while (part.bytes > most) {
    const Entry& last = part.entries.back();
    part.bytes -= last.bytes;
    part.places.erase(last.held->posting.number);
    part.entries.pop_back();
  }
}

}  // namespace shortlist::spann
