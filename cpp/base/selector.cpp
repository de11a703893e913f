#include "base/selector.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <mutex>

#include "base/random.h"

namespace shortlist {
namespace {

// Lists the slots of `ids` where the way back is known, else asks every slot.
template <class Ids>
Bitmap listed(const Ids& ids, const IdMap& map, const Selector& self) {
  if (map.ids && !map.slot_of) return self.Selector::slots(map);
  Bitmap out(map.slots);
  for (id_t id : ids)
    if (const slot_t s = map.find(id); s != kNoSlot) out.set(s);
  return out;
}

}  // namespace

slot_t IdMap::find(id_t id) const {
  if (!ids) return id >= 0 && static_cast<size_t>(id) < slots ? static_cast<slot_t>(id) : kNoSlot;
  const auto it = slot_of->find(id);
  return it == slot_of->end() ? kNoSlot : it->second;
}

uint64_t next_version() {
  static std::atomic<uint64_t> last = 0;
  return ++last;
}

std::shared_ptr<const SelectedSlots> Selector::among(const IdMap& map) const {
  const bool keeps = constant() && (!map.ids || map.version);
  if (keeps) {
    const std::shared_lock hold(mutex_, std::try_to_lock);
    if (hold && kept_ && kept_version_ == map.version && kept_->bits().size() == map.slots)
      return kept_;
  }
  auto fresh = std::make_shared<const SelectedSlots>(slots(map));
  if (!keeps) return fresh;
  if (const std::unique_lock hold(mutex_, std::try_to_lock); hold) {
    kept_ = fresh;
    kept_version_ = map.version;
  }
  return fresh;
}

Bitmap Selector::slots(const IdMap& map) const {
  Bitmap out(map.slots);
  for (size_t s = 0; s < map.slots; ++s) {
    const id_t id = map.id(static_cast<slot_t>(s));
    if (id != kNoId && is_member(id)) out.set(s);
  }
  return out;
}

Bitmap SelectorRange::slots(const IdMap& map) const {
  if (map.ids) return Selector::slots(map);
  Bitmap out(map.slots);
  const auto end = std::min(imax, static_cast<id_t>(map.slots));
  for (id_t id = std::max<id_t>(imin, 0); id < end; ++id) out.set(static_cast<size_t>(id));
  return out;
}

bool SelectorArray::is_member(id_t id) const {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}
Bitmap SelectorArray::slots(const IdMap& map) const {
  if (!map.ids || map.slot_of) return listed(ids, map, *this);
  return SelectorBatch(ids).slots(map);  // is_member is linear here
}

SelectorBatch::SelectorBatch(const std::vector<id_t>& ids) : set_(ids.begin(), ids.end()) {
  const size_t bits = std::bit_ceil(std::max<size_t>(64, set_.size() * 16));
  bloom_.assign(bits / 64, 0);
  mask_ = bits - 1;
  for (id_t id : set_) {
    const size_t h = mix64(static_cast<uint64_t>(id)) & mask_;
    bloom_[h >> 6] |= uint64_t{1} << (h & 63);
  }
}
bool SelectorBatch::is_member(id_t id) const {
  const size_t h = mix64(static_cast<uint64_t>(id)) & mask_;
  return (bloom_[h >> 6] >> (h & 63) & 1) && set_.count(id);
}
Bitmap SelectorBatch::slots(const IdMap& map) const { return listed(set_, map, *this); }

Bitmap SelectorBitmap::slots(const IdMap& map) const {
  if (map.ids) return Selector::slots(map);
  return Bitmap(map.slots, bits);
}

Bitmap SelectorNot::slots(const IdMap& map) const {
  Bitmap out = sel->among(map)->bits();
  out.invert();
  if (map.ids)
    for (size_t s = 0; s < map.slots; ++s)
      if (map.ids[s] == kNoId) out.clear(s);
  return out;
}

bool SelectorPair::is_member(id_t id) const {
  const bool a = lhs->is_member(id);
  switch (op) {
    case Op::both:
      return a && rhs->is_member(id);
    case Op::either:
      return a || rhs->is_member(id);
    case Op::one:
      return a != rhs->is_member(id);
  }
  return false;
}
Bitmap SelectorPair::slots(const IdMap& map) const {
  Bitmap out = lhs->among(map)->bits();
  const auto kept = rhs->among(map);
  const Bitmap& other = kept->bits();
  switch (op) {
    case Op::both:
      out &= other;
      break;
    case Op::either:
      out |= other;
      break;
    case Op::one:
      out ^= other;
      break;
  }
  return out;
}

SelectedSlots::SelectedSlots(Bitmap bits)
    : bits_(std::move(bits)), count_(bits_.count()), listed_(count_ * 4 <= bits_.size()) {
  if (listed_) {
    list_.reserve(count_);
    bits_.for_each([&](slot_t s) { list_.push_back(s); });
  }
  constexpr size_t kSpread = 16;
  for (size_t i = 0; i < kSpread && count_; ++i)
    if (const size_t s =
            listed_ ? list_[i * count_ / kSpread] : bits_.next(i * bits_.size() / kSpread);
        s < bits_.size())
      spread_.push_back(static_cast<slot_t>(s));
}
std::shared_ptr<const SelectedSlots> SelectedSlots::among(const IdMap& map) const {
  if (!map.ids && map.slots == bits_.size()) return shared_from_this();
  return Selector::among(map);
}

}  // namespace shortlist
