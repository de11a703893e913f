#include "lists/blocks.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "codec/transform/transform.h"
#include "flat/oddint_scan.h"
#include "flat/product_scan.h"

namespace shortlist::lists {
namespace {

template <class Blocks>
class BlockList final : public List {
 public:
  template <class CodecType>
  explicit BlockList(const CodecType& codec) : blocks(codec) {}
  size_t size() const override { return blocks.size(); }
  size_t memory() const override { return blocks.memory(); }
  void append(const std::byte* codes, size_t n) override { blocks.append(codes, n); }
  void codes(size_t begin, size_t n, std::byte* out) const override { blocks.codes(begin, n, out); }
  void truncate(size_t n) override { blocks.truncate(n); }
  void prefetch() const override {
    const auto [data, bytes] = blocks.scanned();
    fetch(data, bytes);
  }

  Blocks blocks;
};

template <class Blocks, class Scan>
void run(Scan& scan, const List& list, size_t first, const SelectedSlots* allowed, Found& found) {
  const auto& blocks = static_cast<const BlockList<Blocks>&>(list).blocks;
  scan.over(blocks, first);
  std::visit([&](auto& sink) { scan.run(0, blocks.blocks(), allowed, sink); }, found);
}

class ProductScanner final : public CodecScanner {
 public:
  ProductScanner(const ProductQuantizer& pq, Metric metric, bool by_residual)
      : CodecScanner(pq.d, metric, by_residual), metric_(metric), scan_(pq) {}

  void scan(const List& list, size_t first, const SelectedSlots* allowed, Found& found) override {
    scan_.add(near());
    run<ProductBlocks>(scan_, list, first, allowed, found);
  }

 private:
  void ask(const float* q) override { scan_.set_query(q, metric_); }

  const Metric metric_;
  ProductScan scan_;
};

class OddIntScanner final : public Scanner {
 public:
  OddIntScanner(const OddIntCodec& codec, bool by_residual, OddIntBlocks::How how)
      : codec_(codec), by_residual_(by_residual), how_(how) {}

  void set_query(const float* q) override {
    q_ = q;
    scan_.emplace(codec_, q, how_);
  }
  void set_probes(const slot_t* lists, size_t n, const float* centroids) override {
    for (size_t p = 0; p < n; ++p)
      if (lists[p] != kNoSlot) scan_->expect(centroids + lists[p] * codec_.d);
  }
  void set_list(const float* centroid, float near) override {
    if (!by_residual_) return;
    float square = near;
    if (codec_.metric == Metric::inner_product && !how_.from_centroids)
      kernels::active().rows[kernels::l2_f32](q_, reinterpret_cast<const std::byte*>(centroid), 0,
                                              nullptr, 1, codec_.d, &square);
    scan_->in_list(centroid, near, std::sqrt(std::max(square, 0.f)));
  }
  void scan(const List& list, size_t first, const SelectedSlots* allowed, Found& found) override {
    run<OddIntBlocks>(*scan_, list, first, allowed, found);
  }

 private:
  const OddIntCodec& codec_;
  const bool by_residual_;
  const OddIntBlocks::How how_;
  const float* q_ = nullptr;
  std::optional<OddIntScan> scan_;
};

}  // namespace

std::unique_ptr<List> ProductForm::list() const {
  return std::make_unique<BlockList<ProductBlocks>>(*pq_);
}

std::unique_ptr<Scanner> ProductForm::scanner() const {
  return std::make_unique<ProductScanner>(*pq_, metric_, by_residual);
}

std::unique_ptr<List> OddIntForm::list() const {
  return std::make_unique<BlockList<OddIntBlocks>>(*codec_);
}

std::unique_ptr<Scanner> OddIntForm::scanner() const {
  return std::make_unique<OddIntScanner>(
      *codec_, by_residual, OddIntBlocks::How{.coded = codec_->symmetric, .rounded = true});
}

void OddIntForm::encode(Matrix<const float> x, const float* centroid, std::byte* codes) const {
  if (by_residual)
    codec_->encode_in_list(x, centroid, codes);
  else
    codec_->encode(x, codes);
}

void OddIntForm::decode(const std::byte* codes, size_t n, const float* centroid, float* x) const {
  if (by_residual)
    codec_->decode_in_list(codes, n, centroid, x);
  else
    codec_->decode(codes, n, x);
}

// Residuals tell how well the first plane does; the vectors, what queries are relative to.
void OddIntForm::train(Matrix<const float> x, const float* const* centroids) {
  if (!by_residual) return codec_->train(x);
  codec_->train({residuals(x, centroids).data(), x.rows, x.cols});
  const std::vector<float> mean = mean_of(x.rows, x.cols, [&](size_t i) { return x.row(i); });
  codec_->set_centres(mean, mean);
}

bool OddIntForm::same_as(const Form& other) const {
  const auto* that = dynamic_cast<const OddIntForm*>(&other);
  return that && that->codec_->same_as(*codec_);
}

RaBitQForm::RaBitQForm(std::shared_ptr<RaBitQCodec> codec) : OddIntForm(codec), codec_(codec) {}

std::unique_ptr<Scanner> RaBitQForm::scanner(QueryGrid grid) const {
  return std::make_unique<OddIntScanner>(*codec_, true,
                                         OddIntBlocks::How{.from_centroids = true, .grid = grid});
}

void RaBitQForm::encode(Matrix<const float> x, const float* centroid, std::byte* codes) const {
  codec_->encode_in_list(x, centroid, codes);
}

void RaBitQForm::decode(const std::byte* codes, size_t n, const float* centroid, float* x) const {
  codec_->decode_in_list(codes, n, centroid, x);
}

void RaBitQForm::to_faiss(const std::byte* codes, size_t n, std::byte* out) const {
  for (size_t i = 0; i < n; ++i)
    codec_->to_faiss(codes + i * code_size(), out + i * codec_->faiss_size());
}

void RaBitQForm::from_faiss(const std::byte* in, size_t n, const float* centroid,
                            std::byte* codes) const {
  for (size_t i = 0; i < n; ++i)
    codec_->from_faiss(in + i * codec_->faiss_size(), codes + i * code_size(), centroid);
}

void RaBitQForm::train(Matrix<const float> x, const float* const* centroids) {
  learn({residuals(x, centroids).data(), x.rows, x.cols});
}

void RaBitQForm::learn(Matrix<const float> residuals) {
  const std::vector<float> none(codec_->d);
  codec_->set_centres(none, none);
  if (codec_->bits > 1 && residuals.rows) codec_->measure_slack(residuals);
}

}  // namespace shortlist::lists
