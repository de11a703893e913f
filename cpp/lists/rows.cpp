#include "lists/rows.h"

#include <algorithm>

namespace shortlist::lists {
namespace {

class RowsScanner final : public CodecScanner {
 public:
  RowsScanner(const Codec& codec, Metric metric, bool by_residual)
      : CodecScanner(codec.d, metric, by_residual),
        none_(codec.code_size()),
        computer_(codec.distance_computer(metric, none_)) {}

  void scan(const List& list, size_t first, const SelectedSlots* allowed, Found& found) override {
    constexpr size_t kRows = 1024;  // scored at a time
    float distances[kRows];
    computer_->over(static_cast<const RowsList&>(list).store);
    const auto scan = [&](auto& sink) {
      for (size_t at = 0; at < list.size(); at += kRows) {
        const size_t n = std::min(kRows, list.size() - at);
        computer_->score_range(at, n, distances);
        for (size_t i = 0; i < n; ++i) {
          const float distance = near() + distances[i];
          const size_t slot = first + at + i;
          if (distance <= sink.limit() && (!allowed || (*allowed)[slot]))
            sink.push(distance, static_cast<slot_t>(slot));
        }
      }
    };
    std::visit(scan, found);
  }

 private:
  void ask(const float* q) override { computer_->set_query(q); }

  const CodeStore none_;
  const std::unique_ptr<DistanceComputer> computer_;
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
