#include "lists/refined.h"

#include <algorithm>

namespace shortlist::lists {
namespace {

void subtract(std::vector<float>& x, const std::vector<float>& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] -= y[i];
}

// Codes of two parts, back to back, from and into the parts.
void join(const std::byte* first, size_t a, const std::byte* second, size_t b, size_t n,
          std::byte* out) {
  for (size_t i = 0; i < n; ++i) {
    out = std::copy_n(first + i * a, a, out);
    out = std::copy_n(second + i * b, b, out);
  }
}
void split(const std::byte* codes, size_t n, size_t a, std::byte* first, size_t b,
           std::byte* second) {
  for (size_t i = 0; i < n; ++i, codes += a + b) {
    std::copy_n(codes, a, first + i * a);
    std::copy_n(codes + a, b, second + i * b);
  }
}

// The first codes are its rows, so that a scan reads nothing else.
class RefinedList final : public RowsList {
 public:
  RefinedList(size_t first, size_t second) : RowsList(first), second_(second) {}
  size_t memory() const override { return RowsList::memory() + second_.memory(); }
  void append(const std::byte* codes, size_t n) override {
    const size_t before = size();
    std::byte* first = store.grow(n);
    try {
      split(codes, n, store.code_size(), first, second_.code_size(), second_.grow(n));
    } catch (...) {
      store.truncate(before);
      throw;
    }
  }
  void codes(size_t begin, size_t n, std::byte* out) const override {
    join(store.row(begin), store.code_size(), second_.row(begin), second_.code_size(), n, out);
  }
  void truncate(size_t n) override {
    RowsList::truncate(n);
    second_.truncate(n);
  }

 private:
  CodeStore second_;
};

class WholeScanner final : public Scanner {
 public:
  WholeScanner(const Form& form, size_t d) : form_(form), d_(d) {}

  void set_query(const float* q) override { q_ = q; }
  bool serves_any() const override { return true; }
  void set_list(const float* centroid, float) override { centroid_ = centroid; }
  void scan(const List& list, size_t first, const SelectedSlots* allowed, Found& found) override {
    constexpr size_t kRows = 64;  // decoded at a time
    const auto kernel = kernels::active().rows[kernels::l2_f32];
    codes_.resize(kRows * form_.code_size());
    rows_.resize(kRows * d_);
    scan_in_parts<kRows>(list, first, allowed, found, [&](size_t at, size_t n, float* out) {
      list.codes(at, n, codes_.data());
      form_.decode(codes_.data(), n, centroid_, rows_.data());
      kernel(q_, reinterpret_cast<const std::byte*>(rows_.data()), d_ * sizeof(float), nullptr, n,
             d_, out);
    });
  }

 private:
  const Form& form_;
  const size_t d_;
  const float *q_ = nullptr, *centroid_ = nullptr;
  std::vector<std::byte> codes_;
  std::vector<float> rows_;
};

}  // namespace

RefinedForm::RefinedForm(const std::shared_ptr<ProductQuantizer>& pq,
                         std::shared_ptr<ProductQuantizer> refine_pq)
    : RowsForm(pq, Metric::l2, true), second_(std::move(refine_pq)) {}

std::unique_ptr<List> RefinedForm::list() const {
  return std::make_unique<RefinedList>(first_size(), second_->code_size());
}

std::unique_ptr<Scanner> RefinedForm::whole_scanner() const {
  return std::make_unique<WholeScanner>(*this, codec_->d);
}

void RefinedForm::check_serve() const {
  codec_->check_serves(metric_, by_residual);
  second_->check_serves(metric_, by_residual);
}

void RefinedForm::encode(Matrix<const float> x, const float* centroid, std::byte* codes) const {
  check_serve();
  const std::vector<const float*> same(x.rows, centroid);
  std::vector<float> left = residuals(x, same.data()), told(left.size());
  std::vector<std::byte> first(x.rows * first_size()), second(x.rows * second_->code_size());
  codec_->encode({left.data(), x.rows, x.cols}, first.data());
  codec_->decode(first.data(), x.rows, told.data());
  subtract(left, told);
  second_->encode({left.data(), x.rows, x.cols}, second.data());
  join(first.data(), first_size(), second.data(), second_->code_size(), x.rows, codes);
}

void RefinedForm::decode(const std::byte* codes, size_t n, const float* centroid, float* x) const {
  std::vector<std::byte> first(n * first_size()), second(n * second_->code_size());
  split(codes, n, first_size(), first.data(), second_->code_size(), second.data());
  std::vector<float> more(n * codec_->d);
  second_->decode(second.data(), n, more.data());
  RowsForm::decode(first.data(), n, centroid, x);
  for (size_t i = 0; i < more.size(); ++i) x[i] += more[i];
}

void RefinedForm::train(Matrix<const float> x, const float* const* centroids) {
  check_serve();
  std::vector<float> left = residuals(x, centroids), told(left.size());
  const Matrix<const float> rows{left.data(), x.rows, x.cols};
  codec_->train(rows);
  std::vector<std::byte> first(x.rows * first_size());
  encode_rows(*codec_, as_rows(rows), first.data());
  decode_rows(*codec_, first.data(), x.rows, told.data());
  subtract(left, told);
  second_->train(rows);
}

bool RefinedForm::same_as(const Form& other) const {
  const auto* that = dynamic_cast<const RefinedForm*>(&other);
  return that && RowsForm::same_as(other) && that->second_->same_as(*second_);
}

}  // namespace shortlist::lists
