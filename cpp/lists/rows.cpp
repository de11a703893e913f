#include "lists/rows.h"

#include <algorithm>
#include <utility>

namespace shortlist::lists {
namespace {

class RowsScanner final : public CodecScanner {
 public:
  RowsScanner(const Codec& codec, Metric metric, bool by_residual)
      : CodecScanner(codec.d, metric, by_residual),
        codec_(codec),
        none_(codec.code_size()),
        computer_(codec.distance_computer(metric, none_)),
        few_(serves_any() && !codec.compares_decoded() ? kFew : 0),
        rows_(few_ * codec.d) {}

  void scan(const List& list, size_t first, const SelectedSlots* allowed, Found& found) override {
    const CodeStore& store = static_cast<const RowsList&>(list).store;
    if (list.size() <= few_) {
      const auto kernel = kernels::active().rows[kernels::l2_f32];
      scan_in_parts<kFew>(list, first, allowed, found, [&](size_t at, size_t n, float* out) {
        codec_.decode(store.row(at), n, rows_.data());
        kernel(q_, reinterpret_cast<const std::byte*>(rows_.data()), codec_.d * sizeof(float),
               nullptr, n, codec_.d, out);
      });
      return;
    }
    if (q_) computer_->set_query(std::exchange(q_, nullptr));
    computer_->over(store);
    scan_in_parts<1024>(list, first, allowed, found, [&](size_t at, size_t n, float* out) {
      computer_->score_range(at, n, out);
      for (size_t i = 0; i < n; ++i) out[i] += near();
    });
  }

 private:
  void ask(const float* q) override { q_ = q; }

  // Of so few residuals it is quicker to decode them than to make ready for them.
  static constexpr size_t kFew = 8;

  const Codec& codec_;
  const CodeStore none_;
  const std::unique_ptr<DistanceComputer> computer_;
  const size_t few_;
  std::vector<float> rows_;
  const float* q_ = nullptr;  // until the computer has it
};

}  // namespace

std::vector<float> residuals(Matrix<const float> x, const float* const* centroids) {
  std::vector<float> out(x.rows * x.cols);
  for (size_t i = 0; i < x.rows; ++i)
    for (size_t j = 0; j < x.cols; ++j) out[i * x.cols + j] = x.row(i)[j] - centroids[i][j];
  return out;
}

void CodecScanner::set_query(const float* q) {
  q_ = q;
  if (!moves_) ask(q);
}

void CodecScanner::set_list(const float* centroid, float near) {
  near_ = adds_ ? near : 0;
  if (!moves_) return;
  for (size_t i = 0; i < residual_.size(); ++i) residual_[i] = q_[i] - centroid[i];
  ask(residual_.data());
}

std::unique_ptr<List> RowsForm::list() const { return std::make_unique<RowsList>(code_size()); }

std::unique_ptr<Scanner> RowsForm::scanner() const {
  return std::make_unique<RowsScanner>(*codec_, metric_, by_residual);
}

void CodecForm::encode(Matrix<const float> x, const float* centroid, std::byte* codes) const {
  codec_->check_serves(metric_, by_residual);
  if (!by_residual) return codec_->encode(x, codes);
  const std::vector<const float*> same(x.rows, centroid);
  codec_->encode({residuals(x, same.data()).data(), x.rows, x.cols}, codes);
}

void CodecForm::decode(const std::byte* codes, size_t n, const float* centroid, float* x) const {
  codec_->decode(codes, n, x);
  for (size_t i = 0; by_residual && i < n; ++i)
    for (size_t j = 0; j < codec_->d; ++j) x[i * codec_->d + j] += centroid[j];
}

void CodecForm::to_faiss(const std::byte* codes, size_t n, std::byte* out) const {
  Form::to_faiss(codes, n, out);
  codec_->swap_faiss_form(out, n);
}

void CodecForm::from_faiss(const std::byte* in, size_t n, const float* centroid,
                           std::byte* codes) const {
  Form::from_faiss(in, n, centroid, codes);
  codec_->swap_faiss_form(codes, n);
}

void CodecForm::train(Matrix<const float> x, const float* const* centroids) {
  if (!codec_->needs_training()) return;
  codec_->check_serves(metric_, by_residual);
  if (!by_residual) return codec_->train(x);
  codec_->train({residuals(x, centroids).data(), x.rows, x.cols});
}

bool CodecForm::same_as(const Form& other) const {
  const auto* that = dynamic_cast<const CodecForm*>(&other);
  return that && that->by_residual == by_residual && that->codec_->same_as(*codec_);
}

}  // namespace shortlist::lists
