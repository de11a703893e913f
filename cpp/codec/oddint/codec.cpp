#include "codec/oddint/codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/random.h"
#include "codec/decoding.h"
#include "codec/transform/transform.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"

namespace shortlist {
namespace {

template <class T>
T read(const std::byte* at) {
  T out;
  std::memcpy(&out, at, sizeof out);
  return out;
}

constexpr size_t kAsking = 64, kCodes = 512;  // vectors that ask, and that are asked for

float quantile(std::vector<float>& x, double share) {
  const auto at = x.begin() + static_cast<ptrdiff_t>(static_cast<double>(x.size() - 1) * share);
  std::nth_element(x.begin(), at, x.end());
  return *at;
}

float square_of_difference(const float* a, const float* b, size_t d) {
  float sum = 0;
  for (size_t i = 0; i < d; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

// One by one.
class OddIntComputer final : public DecodingComputer<OddIntComputer, OddIntCodec::Query> {
 public:
  OddIntComputer(const OddIntCodec& codec, const CodeStore& store)
      : DecodingComputer(codec, store), codec_(codec) {}

  void ready(const float* q, OddIntCodec::Query& query) const {
    codec_.set_query(q, query);
    if (codec_.symmetric)
      codec_.code_query(query);
    else
      codec_.round_query(query);
  }
  void run(const OddIntCodec::Query& query, const std::byte* base, const slot_t* slots, size_t n,
           float* out) const {
    constexpr size_t kTogether = 64;
    const size_t size = codec_.code_size();
    double products[kTogether];
    for (size_t at = 0; at < n; at += kTogether) {
      const size_t some = std::min(kTogether, n - at);
      codec_.products(query, slots ? base : base + at * size, size, slots ? slots + at : nullptr,
                      some, static_cast<size_t>(codec_.bits), products);
      for (size_t i = 0; i < some; ++i) {
        const std::byte* code = base + (slots ? size_t{slots[at + i]} : at + i) * size;
        out[at + i] = codec_.distance(query, codec_.factors(code), products[i]);
      }
    }
  }

 private:
  const OddIntCodec& codec_;
};

}  // namespace

OddIntCodec::OddIntCodec(std::shared_ptr<const OddIntEncoder> encoder_, int bits, Metric metric)
    : Codec(encoder_->d),
      encoder(std::move(encoder_)),
      bits(bits),
      metric(metric),
      slack(bits == 1 ? 0.f : 0.7f) {
  if (bits < 1 || bits > 8)
    throw ArgumentError(text("bits = ", bits, "; it must be from 1 to 8 for a dimension"));
}

std::string OddIntCodec::name() const { return text(bits, " bits x ", m(), ", ", encoder->name()); }

bool OddIntCodec::same_as(const Codec& other) const {
  const auto* that = dynamic_cast<const OddIntCodec*>(&other);
  return that && that->bits == bits && that->metric == metric && that->m() == m() &&
         that->centre == centre && that->query_centre == query_centre &&
         that->encoder->same_as(*encoder);
}

void OddIntCodec::set_centres(std::vector<float> of_vectors, std::vector<float> of_queries) {
  for (const auto* c : {&of_vectors, &of_queries})
    if (c->size() != d || !finite(c->data(), d))
      throw ArgumentError(
          text("a centre has ", c->size(), " values; they should be d = ", d, " numbers"));
  centre = std::move(of_vectors);
  query_centre = std::move(of_queries);
}

void OddIntCodec::train(Matrix<const float> x) {
  if (x.rows == 0) throw ArgumentError("there are no vectors to train on");
  if (!encoder->brings_centres()) {
    const std::vector<float> mean = mean_of(x.rows, d, [&](size_t i) { return x.row(i); });
    set_centres(mean, mean);
  }
  if (bits > 1) measure_slack(x);
  if (!encoder->brings_centres()) measure_error(x);
}

void OddIntCodec::measure_slack(Matrix<const float> x) {
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
      products(q, code, size, nullptr, 1, 1, &first);
      products(q, code, size, nullptr, 1, static_cast<size_t>(bits), &all);
      const float rough =
          q.near + widen_bf16(coarse.add) + rescale * (static_cast<float>(first) - q.sum / 2);
      const float close = distance(q, fine(code + fine_at(), coarse), all);
      const float above = (rough - close) / (std::abs(rescale) * q.length);
      if (std::isfinite(above)) excess.push_back(above);
    }
  }
  if (!excess.empty()) slack = std::max(quantile(excess, 0.99), 0.f);
}

void OddIntCodec::measure_error(Matrix<const float> x) {
  const size_t n = std::min(kCodes, x.rows), asking = std::min(kAsking, x.rows);
  const auto any = [&](size_t i) { return x.row(mix64(i) % x.rows); };
  CodeStore store(code_size());
  std::byte* codes = store.grow(n);
  for (size_t i = 0; i < n; ++i) encode({any(i), 1, d}, codes + i * code_size());
  OddIntComputer computer(*this, store);
  std::vector<float> estimates(n), excess;
  for (size_t a = 0; a < asking; ++a) {
    const float* q = any(n + a);
    computer.set_query(q);
    computer.score_range(0, n, estimates.data());
    const float length = std::sqrt(square_of_difference(q, query_centre.data(), d));
    for (size_t i = 0; i < n; ++i) {
      const float exact =
          metric == Metric::l2 ? square_of_difference(q, any(i), d) : -ordered_dot(q, any(i), d);
      const float above = (estimates[i] - exact) / length;
      if (std::isfinite(above)) excess.push_back(above);
    }
  }
  if (!excess.empty()) error = std::max(quantile(excess, 0.999), 0.f);
}

float OddIntCodec::margin(const float* q) const {
  if (symmetric) return std::numeric_limits<float>::infinity();
  return error * std::sqrt(square_of_difference(q, query_centre.data(), d));
}

// All rows together, so that an encoder's weights are read once for them.
void OddIntCodec::encode(Matrix<const float> x, std::byte* codes) const {
  encode(x, centre.data(), nullptr, codes);
}

void OddIntCodec::encode_in_list(Matrix<const float> x, const float* centroid,
                                 std::byte* codes) const {
  std::vector<float> relative(d), turned(padded());
  for (size_t i = 0; i < d; ++i) relative[i] = centroid[i] - query_centre[i];
  encoder->turn(relative.data(), turned.data());
  encode(x, centroid, turned.data(), codes);
}

void OddIntCodec::encode(Matrix<const float> x, const float* from, const float* of_list,
                         std::byte* codes) const {
  if (x.rows == 0) return;
  std::vector<float> relative(x.rows * d), turned(x.rows * padded()), u(padded()), sign(padded());
  std::vector<uint8_t> values(x.rows * m());
  std::vector<bool> found(x.rows);  // else it is one that searches never find
  for (size_t i = 0; i < x.rows; ++i) {
    found[i] = finite(x.row(i), d);
    for (size_t j = 0; found[i] && j < d; ++j) relative[i * d + j] = x.row(i)[j] - from[j];
    encoder->turn(&relative[i * d], &turned[i * padded()]);
  }
  encoder->code(relative.data(), turned.data(), x.rows, bits, values.data());
  std::memset(codes, 0, x.rows * code_size());
  const auto planes = static_cast<size_t>(bits);
  for (size_t i = 0; i < x.rows; ++i, codes += code_size()) {
    const float* r = &relative[i * d];
    for (size_t j = 0; j < m(); ++j) {
      const unsigned c = values[i * m() + j];
      u[j] = static_cast<float>(c) - half_range();
      sign[j] = c >> (planes - 1) ? 0.5f : -0.5f;
      for (size_t b = 0; b < planes; ++b)
        codes[b * plane_size() + j / 8] |= std::byte(c >> (planes - 1 - b) & 1) << j % 8;
    }
    put_factors({.x = x.row(i),
                 .r = r,
                 .turned = &turned[i * padded()],
                 .u = u.data(),
                 .sign = sign.data(),
                 .found = found[i],
                 .centroid = of_list ? from : nullptr,
                 .of_list = of_list},
                codes);
  }
}

void OddIntCodec::put_factors(const Encoded& v, std::byte* code) const {
  // What the query's own terms do not hold.
  float add;
  if (v.of_list) {
    add = metric == Metric::l2 ? ordered_dot(v.r, v.r, d) : -ordered_dot(v.centroid, v.r, d);
  } else {  // of the query at the queries' centre
    add = -ordered_dot(query_centre.data(), v.r, d);
    if (metric == Metric::l2)
      add = 2 * (add + ordered_dot(centre.data(), v.r, d)) + ordered_dot(v.r, v.r, d);
  }
  if (!v.found) add = std::numeric_limits<float>::quiet_NaN();
  const auto factors = [&](const float* u) {
    const float rescale = times() * encoder->rescale(v.r, v.turned, u);
    const float lists = v.of_list ? rescale * ordered_dot(u, v.of_list, m()) : 0;
    return Fine{add - lists, rescale};
  };
  const Fine first = factors(v.sign);
  const Coarse coarse{narrow_bf16(first.add), narrow_bf16(first.rescale)};
  std::memcpy(code + coarse_at(), &coarse, sizeof coarse);
  if (bits == 1) return;
  const Fine fine = factors(v.u);
  std::memcpy(code + fine_at(), &fine, sizeof fine);
}

OddIntCodec::Fine OddIntCodec::fine(const std::byte* at, Coarse coarse) const {
  if (bits == 1) return {widen_bf16(coarse.add), widen_bf16(coarse.rescale)};
  return read<Fine>(at);
}

OddIntCodec::Fine OddIntCodec::factors(const std::byte* code) const {
  return fine(code + fine_at(), read<Coarse>(code + coarse_at()));
}

std::unique_ptr<DistanceComputer> OddIntCodec::distance_computer(Metric,
                                                                 const CodeStore& store) const {
  return std::make_unique<OddIntComputer>(*this, store);
}

float OddIntCodec::values(const std::byte* code, float* u) const {
  for (size_t i = 0; i < m(); ++i) {
    int c = 0;
    for (size_t b = 0; b < static_cast<size_t>(bits); ++b)
      c = 2 * c + (static_cast<int>(code[b * plane_size() + i / 8]) >> i % 8 & 1);
    u[i] = static_cast<float>(c) - half_range();
  }
  std::fill(u + m(), u + padded(), 0.f);
  return factors(code).rescale / times();
}

void OddIntCodec::decode(const std::byte* codes, size_t n, float* x) const {
  decode(codes, n, centre.data(), x);
}

void OddIntCodec::decode_in_list(const std::byte* codes, size_t n, const float* centroid,
                                 float* x) const {
  decode(codes, n, centroid, x);
}

void OddIntCodec::decode(const std::byte* codes, size_t n, const float* from, float* x) const {
  std::vector<float> u(padded());
  for (size_t row = 0; row < n; ++row, codes += code_size(), x += d) {
    const float f = values(codes, u.data());
    encoder->turn_back(u.data(), x);
    for (size_t i = 0; i < d; ++i) x[i] = from[i] + f * x[i];
  }
}

void OddIntCodec::finish(Query& q) const {
  constexpr size_t kLanes = 16;  // sums that do not wait for each other; they divide padded()
  float sums[kLanes]{}, squares[kLanes]{};
  for (size_t i = 0; i < padded(); i += kLanes)
    for (size_t l = 0; l < kLanes; ++l) {
      const float x = q.turned[i + l];
      sums[l] += x;
      squares[l] += x * x;
    }
  q.sum = 0;
  float square = 0;
  for (size_t l = 0; l < kLanes; ++l) {
    q.sum += sums[l];
    square += squares[l];
  }
  q.length = q.scale * std::sqrt(square);
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
  encoder->turn_query(r.data(), out.turned.data());
  out.scale = 1;
  out.code.clear();
  finish(out);
}

void OddIntCodec::code_query(Query& q) const {
  std::vector<uint8_t> c(m());
  nearest_in_angle(q.turned.data(), m(), bits, c.data());
  float along = 0, square = 0;
  for (size_t i = 0; i < m(); ++i) {
    const float odd = 2 * (static_cast<float>(c[i]) - half_range());
    along += odd * q.turned[i];
    square += odd * odd;
    q.turned[i] = odd;
  }
  q.scale = along / square;
  finish(q);
  put_planes(q, bits + 1);
}

// A code of 1, 2, 3, 4 bits is off by about 0.75, 0.35, 0.18, 0.09 of the length; this by 0.03,
// 0.03, 0.02, 0.01 where the largest value is 3.5 spreads.
void OddIntCodec::round_query(Query& q) const {
  const int planes = std::max(bits + 4, 6);
  if (planes <= kMostQueryPlanes) round_query(q, planes);
}

void OddIntCodec::round_query(Query& q, int planes) const {
  float most = 0;
  for (const float x : q.turned) most = std::max(most, std::abs(x));
  if (!(most > 0)) return;
  const float step = most / static_cast<float>((1 << (planes - 1)) - 1);
  for (float& x : q.turned) x = std::nearbyint(x / step);
  q.scale *= step;
  finish(q);
  put_planes(q, planes);
}

void OddIntCodec::put_planes(Query& q, int planes) const {
  q.code.assign(static_cast<size_t>(planes) * plane_size(), std::byte{0});
  for (size_t i = 0; i < m(); ++i) {
    const auto twos = static_cast<unsigned>(static_cast<int>(q.turned[i]));
    for (int b = 0; b < planes; ++b)
      q.code[static_cast<size_t>(b) * plane_size() + i / 8] |=
          std::byte(twos >> (planes - 1 - b) & 1) << i % 8;
  }
}

void OddIntCodec::products(const Query& q, const std::byte* base, size_t stride, const slot_t* rows,
                           size_t n, size_t planes, double* out) const {
  const auto& use = kernels::active();
  if (q.code.empty()) {
    use.planes(q.turned.data(), base, stride, rows, n, padded(), planes, out);
    return;
  }
  use.bit_planes(q.code.data(), q.code.size() / plane_size(), base, stride, rows, n, padded(),
                 planes, out);
}

}  // namespace shortlist
