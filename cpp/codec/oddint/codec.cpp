#include "codec/oddint/codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/random.h"
#include "kernels/kernels.h"

namespace shortlist {
namespace {

template <class T>
T read(const std::byte* at) {
  T out;
  std::memcpy(&out, at, sizeof out);
  return out;
}

// One query bound to rows of codes.
class OddIntComputer final : public DistanceComputer {
 public:
  OddIntComputer(const OddIntCodec& codec, const CodeStore& store) : codec_(codec), store_(store) {}

  void set_query(const float* q) override { codec_.set_query(q, query_); }
  void set_query(slot_t stored) override { set_stored(stored, query_); }
  void score(const slot_t* slots, size_t n, float* out) override {
    run(query_, store_.data(), slots, n, out);
  }
  void score_range(size_t begin, size_t n, float* out) override {
    run(query_, store_.row(begin), nullptr, n, out);
  }
  float score_code(const std::byte* code) override {
    float out;
    run(query_, code, nullptr, 1, &out);
    return out;
  }
  void between(slot_t a, const slot_t* b, size_t n, float* out) override {
    if (a != prepared_) {
      set_stored(a, other_);
      prepared_ = a;
    }
    run(other_, store_.data(), b, n, out);
  }

 private:
  void set_stored(slot_t s, OddIntCodec::Query& q) {
    std::vector<float> x(codec_.d);
    codec_.decode(store_.row(s), 1, x.data());
    codec_.set_query(x.data(), q);
  }
  void run(const OddIntCodec::Query& q, const std::byte* base, const slot_t* slots, size_t n,
           float* out) {
    const size_t size = codec_.code_size();
    products_.resize(std::max(products_.size(), n));
    kernels::active().planes(q.turned.data(), base, size, slots, n, codec_.padded(),
                             static_cast<size_t>(codec_.bits), products_.data());
    for (size_t i = 0; i < n; ++i) {
      const std::byte* row = base + (slots ? size_t{slots[i]} : i) * size;
      const auto coarse = read<OddIntCodec::Coarse>(row + codec_.coarse_at());
      out[i] = codec_.distance(q, codec_.fine(row + codec_.fine_at(), coarse), products_[i]);
    }
  }

  const OddIntCodec& codec_;
  const CodeStore& store_;
  OddIntCodec::Query query_, other_;
  slot_t prepared_ = kNoSlot;
  std::vector<double> products_;
};

}  // namespace

OddIntCodec::OddIntCodec(std::shared_ptr<const OddIntEncoder> encoder_, int bits, Metric metric)
    : Codec(encoder_->d), encoder(std::move(encoder_)), bits(bits), metric(metric) {
  if (bits < 1 || bits > 8)
    throw ArgumentError(text("bits = ", bits, "; it must be from 1 to 8 for a dimension"));
}

void OddIntCodec::train(Matrix<const float> x) {
  if (x.rows == 0) throw ArgumentError("there are no vectors to train on");
  if (!encoder->brings_centres()) {
    std::vector<double> sums(d);
    for (size_t r = 0; r < x.rows; ++r)
      for (size_t i = 0; i < d; ++i) sums[i] += x.row(r)[i];
    centre.resize(d);
    for (size_t i = 0; i < d; ++i)
      centre[i] = static_cast<float>(sums[i] / static_cast<double>(x.rows));
    query_centre = centre;
  }
  if (bits == 1) return;
  // Some of the vectors ask for others.
  constexpr size_t kAsking = 64, kCodes = 512;
  auto any = [&, draw = uint64_t{0}]() mutable { return x.row(mix64(draw++) % x.rows); };
  const size_t n = std::min(kCodes, x.rows), size = code_size();
  std::vector<std::byte> codes(n * size);
  for (size_t i = 0; i < n; ++i) encode({any(), 1, d}, codes.data() + i * size);
  std::vector<float> excess;
  Query q;
  double first, all;
  for (size_t a = 0; a < std::min(kAsking, x.rows); ++a) {
    set_query(any(), q);
    if (!(q.length > 0)) continue;
    for (size_t i = 0; i < n; ++i) {
      const std::byte* code = codes.data() + i * size;
      const auto coarse = read<Coarse>(code + coarse_at());
      const float rescale = widen_bf16(coarse.rescale);
      if (rescale == 0) continue;
      kernels::active().planes(q.turned.data(), code, size, nullptr, 1, padded(), 1, &first);
      kernels::active().planes(q.turned.data(), code, size, nullptr, 1, padded(),
                               static_cast<size_t>(bits), &all);
      const float rough =
          q.near + widen_bf16(coarse.add) + rescale * (static_cast<float>(first) - q.sum / 2);
      const float close = distance(q, fine(code + fine_at(), coarse), all);
      excess.push_back((rough - close) / (std::abs(rescale) * q.length));
    }
  }
  if (excess.empty()) return;
  const auto at = excess.begin() + static_cast<ptrdiff_t>(excess.size() * 99 / 100);
  std::nth_element(excess.begin(), at, excess.end());
  slack = std::max(*at, 0.f);
}

void OddIntCodec::encode(Matrix<const float> x, std::byte* codes) const {
  constexpr size_t kRows = 64;
  std::vector<float> r(kRows * d), turned(kRows * padded());
  std::vector<uint8_t> c(kRows * m());
  for (size_t begin = 0; begin < x.rows; begin += kRows) {
    const size_t n = std::min(kRows, x.rows - begin);
    for (size_t i = 0; i < n; ++i) {
      const float* row = x.row(begin + i);
      const bool found = finite(row, d);  // else it is one that searches never find
      for (size_t j = 0; j < d; ++j) r[i * d + j] = found ? row[j] - centre[j] : 0.f;
      encoder->turn(&r[i * d], &turned[i * padded()]);
    }
    encoder->code(r.data(), turned.data(), n, bits, c.data());
    for (size_t i = 0; i < n; ++i, codes += code_size())
      write_code(&r[i * d], &turned[i * padded()], &c[i * m()], finite(x.row(begin + i), d), codes);
  }
}

void OddIntCodec::write_code(const float* r, const float* turned, const uint8_t* c, bool found,
                             std::byte* code) const {
  std::vector<float> u(padded()), sign(padded());
  std::memset(code, 0, coarse_at());
  for (size_t i = 0; i < m(); ++i) {
    u[i] = static_cast<float>(c[i]) - half_range();
    sign[i] = c[i] >> (bits - 1) ? 0.5f : -0.5f;
    for (size_t b = 0; b < static_cast<size_t>(bits); ++b)
      code[b * plane_size() + i / 8] |= std::byte(c[i] >> (static_cast<size_t>(bits) - 1 - b) & 1)
                                        << i % 8;
  }
  // What q' does not hold of <q, r>, for the query at the queries' centre.
  float add = -ordered_dot(query_centre.data(), r, d);
  if (metric == Metric::l2)
    add = 2 * (add + ordered_dot(centre.data(), r, d)) + ordered_dot(r, r, d);
  if (!found) add = std::numeric_limits<float>::quiet_NaN();
  const Coarse coarse{narrow_bf16(add),
                      narrow_bf16(times() * encoder->rescale(r, turned, sign.data()))};
  const Fine fine{add, times() * encoder->rescale(r, turned, u.data())};
  std::memcpy(code + coarse_at(), &coarse, sizeof coarse);
  std::memcpy(code + fine_at(), &fine, fine_size());
}

OddIntCodec::Fine OddIntCodec::fine(const std::byte* at, Coarse coarse) const {
  if (bits == 1) return {widen_bf16(coarse.add), widen_bf16(coarse.rescale)};
  return read<Fine>(at);
}

void OddIntCodec::values(const std::byte* code, float* u) const {
  for (size_t i = 0; i < m(); ++i) {
    int c = 0;
    for (size_t b = 0; b < static_cast<size_t>(bits); ++b)
      c = 2 * c + (static_cast<int>(code[b * plane_size() + i / 8]) >> i % 8 & 1);
    u[i] = static_cast<float>(c) - half_range();
  }
  std::fill(u + m(), u + padded(), 0.f);
}

void OddIntCodec::decode(const std::byte* codes, size_t n, float* x) const {
  std::vector<float> u(padded());
  for (size_t row = 0; row < n; ++row, codes += code_size(), x += d) {
    values(codes, u.data());
    const Fine factors = fine(codes + fine_at(), read<Coarse>(codes + coarse_at()));
    const float f = factors.rescale / times();
    encoder->turn_back(u.data(), x);
    for (size_t i = 0; i < d; ++i) x[i] = centre[i] + f * x[i];
  }
}

void OddIntCodec::finish(Query& q) const {
  q.sum = 0;
  for (const float x : q.turned) q.sum += x;
  q.length = q.scale * std::sqrt(ordered_dot(q.turned.data(), q.turned.data(), padded()));
}

void OddIntCodec::set_query(const float* q, Query& out) const {
  std::vector<float> r(d);
  if (metric == Metric::l2) {
    for (size_t i = 0; i < d; ++i) r[i] = q[i] - centre[i];
    out.near = ordered_dot(r.data(), r.data(), d);
  } else {
    out.near = -ordered_dot(q, centre.data(), d);
  }
  for (size_t i = 0; i < d; ++i) r[i] = q[i] - query_centre[i];
  out.turned.resize(padded());
  encoder->turn(r.data(), out.turned.data());
  out.scale = 1;
  finish(out);
}

void OddIntCodec::set_coded_query(const float* q, Query& out) const {
  set_query(q, out);
  std::vector<uint8_t> c(m());
  nearest_in_angle(out.turned.data(), m(), bits, c.data());
  float along = 0, square = 0;
  for (size_t i = 0; i < m(); ++i) {
    const float u = static_cast<float>(c[i]) - half_range();
    along += u * out.turned[i];
    square += u * u;
    out.turned[i] = u;
  }
  out.scale = along / square;
  finish(out);
}

std::unique_ptr<DistanceComputer> OddIntCodec::distance_computer(Metric,
                                                                 const CodeStore& store) const {
  return std::make_unique<OddIntComputer>(*this, store);
}

}  // namespace shortlist
