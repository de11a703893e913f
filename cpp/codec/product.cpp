#include "codec/product.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "cluster/assign.h"
#include "cluster/init.h"
#include "codec/anisotropic.h"
#include "codec/decoding.h"

namespace shortlist {
namespace {

constexpr size_t kAnisotropicTurns = 8, kAnisotropicPoints = 128;  // points a centroid
constexpr uint64_t kSeed = 4321;

// The numbers of one code, in order.
class Reader {
 public:
  Reader(const std::byte* code, size_t nbits) : code_(code), nbits_(nbits) {}
  size_t next() {
    while (held_ < nbits_) {
      bits_ |= static_cast<uint32_t>(*code_++) << held_;
      held_ += 8;
    }
    const uint32_t number = bits_ & ((1u << nbits_) - 1);
    bits_ >>= nbits_;
    held_ -= nbits_;
    return number;
  }

 private:
  const std::byte* code_;
  const size_t nbits_;
  uint32_t bits_ = 0;
  size_t held_ = 0;
};

void put(std::byte* code, size_t m, size_t nbits, uint32_t number) {
  const size_t at = m * nbits;
  const uint32_t shifted = number << at % 8;
  code[at / 8] |= static_cast<std::byte>(shifted);
  if (at % 8 + nbits > 8) code[at / 8 + 1] |= static_cast<std::byte>(shifted >> 8);
}

float offset_of(const std::byte* code, size_t parts_size) {
  float value;
  std::memcpy(&value, code + parts_size, sizeof value);
  return value;
}

struct Table {
  std::vector<float> entries;
  float bias = 0;  // with an offset: the query's
};

class ProductComputer final : public DecodingComputer<ProductComputer, Table> {
 public:
  ProductComputer(const ProductQuantizer& pq, Metric metric, const CodeStore& store)
      : DecodingComputer(pq, store), pq_(pq), metric_(metric) {}

  void ready(const float* q, Table& table) const {
    table.entries.resize(pq_.M * pq_.ksub());
    pq_.table(q, pq_.offset ? Metric::inner_product : metric_, table.entries.data());
    if (!pq_.offset) return;
    for (float& entry : table.entries) entry *= 2;
    table.bias = q[pq_.d - 1];
  }
  // Several rows at a time, whose sums do not wait for each other; a row's sum has one order
  // whatever its company.
  void run(const Table& table, const std::byte* base, const slot_t* slots, size_t n,
           float* out) const {
    constexpr size_t kRows = 4, kAhead = 8;
    const size_t size = pq_.code_size();
    const auto row = [&](size_t i) { return base + (slots ? size_t{slots[i]} : i) * size; };
    for (size_t i = 0; slots && i < std::min(n, kAhead); ++i) shortlist::prefetch(row(i), size);
    for (size_t i = 0; i < n; i += kRows) {
      const std::byte* rows[kRows];
      for (size_t r = 0; r < kRows; ++r) {
        rows[r] = row(std::min(i + r, n - 1));
        if (slots && i + r + kAhead < n) shortlist::prefetch(row(i + r + kAhead), size);
      }
      float sums[kRows];
      if (pq_.nbits == 8)
        bytes(table.entries.data(), rows, sums);
      else
        for (size_t r = 0; r < kRows; ++r) sums[r] = any(table.entries.data(), rows[r]);
      for (size_t r = 0; pq_.offset && r < kRows; ++r)
        sums[r] += table.bias + offset_of(rows[r], pq_.parts_size());
      std::copy_n(sums, std::min(kRows, n - i), out + i);
    }
  }

 private:
  void bytes(const float* table, const std::byte* const (&rows)[4], float (&sums)[4]) const {
    float a = 0, b = 0, c = 0, e = 0;
    for (size_t m = 0; m < pq_.M; ++m, table += 256) {
      a += table[static_cast<uint8_t>(rows[0][m])];
      b += table[static_cast<uint8_t>(rows[1][m])];
      c += table[static_cast<uint8_t>(rows[2][m])];
      e += table[static_cast<uint8_t>(rows[3][m])];
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = e;
  }
  float any(const float* table, const std::byte* row) const {
    Reader numbers(row, static_cast<size_t>(pq_.nbits));
    float sum = 0;
    for (size_t m = 0; m < pq_.M; ++m, table += pq_.ksub()) sum += table[numbers.next()];
    return sum;
  }

  const ProductQuantizer& pq_;
  const Metric metric_;
};

}  // namespace

ProductQuantizer::ProductQuantizer(size_t d, size_t M, int nbits, bool offset)
    : Codec(d), M(M), nbits(nbits), offset(offset) {
  if (d < 1 || d > kMaxDimension)
    throw DimensionError(
        text("dimension d = ", d, " is out of range; choose 1 to ", kMaxDimension));
  const size_t cut = d - offset;
  if (M < 1 || cut < 1 || cut % M)
    throw ArgumentError(text("M = ", M, " parts do not divide the ", offset ? "d - 1 = " : "d = ",
                             cut, " dimensions evenly; choose a divisor"));
  if (nbits < 1 || nbits > 8)
    throw ArgumentError(text("nbits = ", nbits, "; it must be from 1 to 8 for a part"));
  cp.min_points_per_centroid = 0;  // ksub are enough
}

std::string ProductQuantizer::name() const {
  return text("PQ", M, "x", nbits, offset ? " with an offset" : "");
}

bool ProductQuantizer::same_as(const Codec& other) const {
  const auto* that = dynamic_cast<const ProductQuantizer*>(&other);
  return that && that->d == d && that->M == M && that->nbits == nbits && that->offset == offset &&
         that->centroids_ == centroids_;
}

void ProductQuantizer::train(Matrix<const float> x) {
  std::vector<float> found = clustered(x, cp, false);
  if (const float threshold = anisotropic_threshold; threshold > 0) {
    std::vector<float> sample;
    for (const size_t i :
         cluster::sample(x.rows, std::min(x.rows, kAnisotropicPoints * ksub()), kSeed))
      sample.insert(sample.end(), x.row(i), x.row(i) + d);
    refine_anisotropic({sample.data(), sample.size() / d, d}, anisotropic_eta(threshold, d),
                       kAnisotropicTurns, {M, ksub(), dsub()}, found);
  }
  set_centroids(std::move(found));
}

void ProductQuantizer::set_anisotropic_threshold(float threshold) {
  if (!(threshold >= 0 && threshold < 1))
    throw ArgumentError(text("anisotropic_threshold = ", threshold,
                             "; it is a share of a vector's length: choose 0 (off) or more, and "
                             "less than 1, such as 0.2"));
  anisotropic_threshold = threshold;
}

void ProductQuantizer::check_serves(Metric metric, bool residuals) const {
  if (!(anisotropic_threshold > 0)) return;
  if (metric != Metric::inner_product)
    throw UnsupportedError(
        "anisotropic_threshold makes codes for inner products, but the metric is L2; set it to 0, "
        "or use METRIC_INNER_PRODUCT");
  if (residuals)
    throw UnsupportedError(
        "anisotropic_threshold looks at errors along vectors, but the codes of these lists are of "
        "residuals; set by_residual = False before train, or the threshold to 0");
}

void ProductQuantizer::refine(Matrix<const float> x, size_t niter, slot_t* nearest) {
  cluster::Options options;
  options.niter = niter;
  options.min_points_per_centroid = 0;
  options.max_points_per_centroid = SIZE_MAX;
  set_centroids(clustered(x, options, is_trained(), nearest));
  std::vector<float> values, distances(x.rows);
  for (size_t m = 0; m < M; ++m) {
    copy_part(x, m, values);
    cluster::Nearest({part(m), ksub(), dsub()}, Metric::l2)
        .assign(as_rows({values.data(), x.rows, dsub()}), nearest + m * x.rows, distances.data());
  }
}

void ProductQuantizer::copy_part(Matrix<const float> x, size_t m, std::vector<float>& out) const {
  out.resize(x.rows * dsub());
  for (size_t r = 0; r < x.rows; ++r)
    std::copy_n(x.row(r) + m * dsub(), dsub(), out.data() + r * dsub());
}

std::vector<float> ProductQuantizer::clustered(Matrix<const float> x, cluster::Options options,
                                               bool onward, slot_t* nearest) const {
  if (x.rows < ksub())
    throw ArgumentError(text("training on ", x.rows, " vectors; ", nbits, " bits need at least ",
                             ksub(), ", one for each centroid"));
  std::vector<float> values, found;
  found.reserve(M * ksub() * dsub());
  const uint64_t seed = options.seed;
  for (size_t m = 0; m < M; ++m) {
    copy_part(x, m, values);
    options.seed = seed + m;
    if (onward) options.initial = {part(m), ksub(), dsub()};
    if (nearest) options.nearest = nearest + m * x.rows;
    const auto clusters =
        cluster::kmeans(as_rows({values.data(), x.rows, dsub()}), ksub(), options);
    found.insert(found.end(), clusters.centroids.begin(), clusters.centroids.end());
  }
  return found;
}

void ProductQuantizer::encode(Matrix<const float> x, std::byte* codes) const {
  if (x.rows == 0) return;
  std::memset(codes, 0, x.rows * code_size());
  std::vector<float> found(ksub());
  std::vector<uint8_t> numbers(M);
  const auto bits = static_cast<size_t>(nbits);
  const float threshold = anisotropic_threshold;
  std::optional<AnisotropicEncoder> anisotropic;
  if (threshold > 0)
    anisotropic.emplace(Parts{M, ksub(), dsub()}, centroids_, anisotropic_eta(threshold, d));
  const auto nearest = [&](const float* row) {
    for (size_t m = 0; m < M; ++m) {
      distances(row + m * dsub(), m, Metric::l2, found.data());
      numbers[m] =
          static_cast<uint8_t>(std::min_element(found.begin(), found.end()) - found.begin());
    }
  };
  for (size_t r = 0; r < x.rows; ++r, codes += code_size()) {
    if (anisotropic)
      anisotropic->encode(x.row(r), false, numbers.data());
    else
      nearest(x.row(r));
    for (size_t m = 0; m < M; ++m) put(codes, m, bits, numbers[m]);
    if (offset) std::memcpy(codes + parts_size(), x.row(r) + d - 1, sizeof(float));
  }
}

void ProductQuantizer::decode(const std::byte* codes, size_t n, float* x) const {
  for (size_t r = 0; r < n; ++r, codes += code_size()) {
    Reader numbers(codes, static_cast<size_t>(nbits));
    for (size_t m = 0; m < M; ++m, x += dsub())
      std::copy_n(part(m) + numbers.next() * dsub(), dsub(), x);
    if (offset) *x++ = offset_of(codes, parts_size());
  }
}

void ProductQuantizer::set_centroids(std::vector<float> centroids) {
  centroids_ = std::move(centroids);
  columns_.resize(centroids_.size());
  for (size_t m = 0; m < M && is_trained(); ++m)
    for (size_t i = 0; i < ksub(); ++i)
      for (size_t j = 0; j < dsub(); ++j)
        columns_[(m * dsub() + j) * ksub() + i] = part(m)[i * dsub() + j];
}

void ProductQuantizer::distances(const float* x, size_t m, Metric metric, float* out) const {
  const auto& use = kernels::active();
  (metric == Metric::l2 ? use.l2_columns : use.ip_columns)(x, columns_.data() + m * dsub() * ksub(),
                                                           ksub(), dsub(), out);
}

void ProductQuantizer::table(const float* q, Metric metric, float* out) const {
  for (size_t m = 0; m < M; ++m) distances(q + m * dsub(), m, metric, out + m * ksub());
  if (metric == Metric::inner_product)
    for (size_t i = 0; i < M * ksub(); ++i) out[i] = -out[i];
}

std::unique_ptr<DistanceComputer> ProductQuantizer::distance_computer(
    Metric metric, const CodeStore& store) const {
  return std::make_unique<ProductComputer>(*this, metric, store);
}

std::shared_ptr<ProductQuantizer> without_offset(std::shared_ptr<ProductQuantizer> pq,
                                                 const char* what) {
  if (pq->offset)
    throw UnsupportedError(text(what, " keeps no offsets beside codes; use an IndexPQ"));
  return pq;
}

}  // namespace shortlist
