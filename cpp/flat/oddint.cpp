#include "flat/oddint.h"

#include <cmath>
#include <cstring>

#include "flat/oddint_scan.h"

namespace shortlist {

OddIntBlocks::OddIntBlocks(const OddIntCodec& codec)
    : codec_(codec),
      block_bytes_(block_size(codec.padded()) + 2 * kBlockVectors * sizeof(uint16_t)),
      rest_(codec.coarse_at() - codec.plane_size() + codec.fine_size()) {}

void OddIntBlocks::make_room(size_t n) {
  const size_t want = (n_ + n + kBlockVectors - 1) / kBlockVectors;
  if (want > blocks()) blocks_.make_room((want - blocks()) * block_bytes_);
  rest_.make_room(n);
}

void OddIntBlocks::append(const std::byte* codes, size_t n) {
  make_room(n);
  const size_t plane = codec_.plane_size(), size = codec_.code_size();
  const size_t other_planes = codec_.coarse_at() - plane;
  std::byte* rest = rest_.code_size() ? rest_.grow(n) : nullptr;
  std::vector<uint8_t> bits(kBlockVectors * plane);
  for (size_t i = 0; i < n;) {
    const size_t b = n_ / kBlockVectors, first = n_ % kBlockVectors;
    if (first == 0) std::memset(blocks_.grow(block_bytes_), 0, block_bytes_);
    const size_t fresh = std::min(n - i, kBlockVectors - first);
    unpack32(block(b), first, codec_.padded(), bits.data(), plane);
    uint16_t* add = coarse(b);
    for (size_t v = first; v < first + fresh; ++v, ++i, codes += size) {
      std::memcpy(bits.data() + v * plane, codes, plane);
      OddIntCodec::Coarse factors;
      std::memcpy(&factors, codes + codec_.coarse_at(), sizeof factors);
      add[v] = factors.add;
      add[kBlockVectors + v] = factors.rescale;
      if (!rest) continue;
      std::memcpy(rest, codes + plane, other_planes);
      std::memcpy(rest + other_planes, codes + codec_.fine_at(), codec_.fine_size());
      rest += rest_.code_size();
    }
    pack32(bits.data(), plane, first + fresh, codec_.padded(), block(b));
    n_ += fresh;
  }
}

void OddIntBlocks::codes(size_t begin, size_t n, std::byte* out) const {
  const size_t plane = codec_.plane_size(), size = codec_.code_size();
  const size_t other_planes = codec_.coarse_at() - plane;
  std::vector<uint8_t> bits(kBlockVectors * plane);
  for (size_t s = begin; s < begin + n;) {
    const size_t b = s / kBlockVectors, last = std::min(begin + n, (b + 1) * kBlockVectors);
    unpack32(block(b), in_block(b), codec_.padded(), bits.data(), plane);
    const uint16_t* add = coarse(b);
    for (; s < last; ++s, out += size) {
      const size_t v = s % kBlockVectors;
      std::memcpy(out, bits.data() + v * plane, plane);
      const OddIntCodec::Coarse factors{add[v], add[kBlockVectors + v]};
      std::memcpy(out + codec_.coarse_at(), &factors, sizeof factors);
      if (!rest_.code_size()) continue;
      std::memcpy(out + plane, rest_.row(s), other_planes);
      std::memcpy(out + codec_.fine_at(), rest_.row(s) + other_planes, codec_.fine_size());
    }
  }
}

void OddIntBlocks::truncate(size_t n) {
  n_ = n;
  blocks_.resize(blocks() * block_bytes_);
  if (rest_.code_size()) rest_.truncate(n);
}

void OddIntBlocks::clear() {
  n_ = 0;
  blocks_.release();
  rest_.clear();
}

namespace {

auto scanning(const OddIntBlocks& blocks, OddIntBlocks::How how) {
  return [&blocks, how](const float* q) {
    OddIntScan scan(blocks.codec(), q, how);
    scan.over(blocks);
    return scan;
  };
}

}  // namespace

OddIntScan::OddIntScan(const OddIntCodec& codec, const float* q, OddIntBlocks::How how)
    : codec_(codec),
      q_(q),
      sure_(how.sure),
      rounded_(how.rounded),
      from_centroids_(how.from_centroids),
      grid_(codec.bits == 1 && finite(q, codec.d) ? how.grid : QueryGrid{}),
      unit_(how.coded ? 1.f : 0.f) {
  if (how.reading)
    how.reading->set_query(codec_, q, query_);
  else
    codec_.set_query(q, query_);
  if (from_centroids_) return;
  if (how.coded)
    codec_.code_query(query_);
  else if (how.rounded && codec_.bits > 1)
    codec_.round_query(query_);
  if (grid_.bits) {
    expect(codec_.centre.data());
    ask_from(codec_.centre.data());
  }
  set_tables();
  set_terms(query_.near, query_.length);
}

// Of encoders that do not turn.
void OddIntScan::ask_from(const float* centre) {
  float* r = query_.turned.data();
  if (in_bytes()) {
    const float* v = summands(centre);
    for (size_t i = 0; i < codec_.d; ++i) r[i] = sums_.unit * v[i];
    return codec_.finish(query_);
  }
  for (size_t i = 0; i < codec_.d; ++i) r[i] = q_[i] - centre[i];
  grid_.round(r, codec_.d);
  codec_.finish(query_);
}

const float* OddIntScan::summands(const float* centre) {
  summands_.resize(codec_.padded());
  for (size_t i = 0; i < codec_.d; ++i) summands_[i] = q_[i] - centre[i];
  sums_ = grid_.summands(summands_.data(), codec_.d, summands_.data());
  return summands_.data();
}

void OddIntScan::set_tables() {
  rough_.set(query_.turned.data(), codec_.padded(), unit_, kSmallEntry);
  fine_made_ = false;
}

void OddIntScan::make_fine() {
  fine_made_ = true;
  if (!in_bytes()) return fine_.set(query_.turned.data(), codec_.padded(), unit_);
  bytes_.set(summands_.data(), codec_.padded(), sums_.base, fine_);
  fine_.offset = sums_.unit * (fine_.offset - sums_.base) - query_.sum / 2;
  fine_.step *= sums_.unit;
}

void OddIntScan::set_terms(float near, float length) {
  // The rounding of a group is even over a step: four spreads of the sum.
  float rounding = 0;
  if (!rough_only()) {
    const float byte_step = in_bytes() ? bytes_.step() * std::abs(sums_.unit) : 0;
    rounding = 4 * (rough_.step + byte_step) * std::sqrt(static_cast<float>(rough_.groups) / 12) +
               byte_step / 2;
  }
  terms_ = {near, query_.scale * (rough_.offset + rounding) + codec_.slack * length,
            query_.scale * rough_.step};
}

void OddIntScan::in_list(const float* centroid, float near, float length) {
  query_.near = near;
  if (from_centroids_) {
    ask_from(centroid);
    set_tables();
    query_.near += codec_.of_centroid(centroid);
    return set_terms(near, query_.length);
  }
  // Of one bit the slack is of rounded factors, which are those of the whole query.
  set_terms(near, codec_.bits == 1 ? query_.length : length);
}

void OddIntBlocks::search(Matrix<const float> queries, How how, size_t k,
                          const SelectedSlots* allowed, std::vector<hit_t>* hits) const {
  flat::search_blocks(n_, kBlockVectors, queries, scanning(*this, how), k, allowed, hits);
}

void OddIntBlocks::range_search(Matrix<const float> queries, How how, float radius,
                                const SelectedSlots* allowed, std::vector<hit_t>* hits) const {
  flat::range_blocks(blocks(), queries, scanning(*this, how), radius, allowed, hits);
}

}  // namespace shortlist
