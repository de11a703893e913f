#include "lists/bits.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace shortlist::lists {
namespace {

class BitsScanner final : public Scanner {
 public:
  explicit BitsScanner(const BitCodec& codec) : codec_(codec), query_(codec.code_size()) {}

  void set_query(const float* q) override { codec_.encode({q, 1, codec_.d}, query_.data()); }
  void set_list(const float*, float) override {}
  void scan(const List& list, size_t first, const SelectedSlots* allowed, Found& found) override {
    constexpr size_t kRows = 1024,
                     kFirstRows = 64;  // at a time; until some are known, all are near
    const CodeStore& store = static_cast<const RowsList&>(list).store;
    const auto& kernels = kernels::active();
    uint64_t near[kRows / 64];
    slot_t rows[kRows];
    float distances[kRows];
    const auto scan = [&](auto& sink) {
      for (size_t at = 0, n; at < store.size(); at += n) {
        n = std::min(sink.limit() < kMost ? kRows : kFirstRows, store.size() - at);
        kernels.near_bits(query_.data(), store.row(at), n, query_.size(), above(sink.limit()),
                          near);
        size_t kept = 0;
        for (size_t w = 0; w * 64 < n; ++w)
          for (uint64_t left = near[w]; left; left &= left - 1) {
            const size_t row = at + w * 64 + static_cast<size_t>(std::countr_zero(left));
            if (!allowed || (*allowed)[first + row]) rows[kept++] = static_cast<slot_t>(row);
          }
        if (!kept) continue;
        kernels.rows[kernels::hamming_bits](query_.data(), store.data(), query_.size(), rows, kept,
                                            query_.size(), distances);
        for (size_t i = 0; i < kept; ++i)
          sink.push(distances[i], static_cast<slot_t>(first + rows[i]));
      }
    };
    std::visit(scan, found);
  }

 private:
  static constexpr float kMost = 1 << 24;  // more bits than any vector has
  // Lists come in any order, so that one as far as the last may still take its place.
  static uint32_t above(float limit) {
    if (!(limit < kMost)) return std::numeric_limits<uint32_t>::max();
    return limit < 0 ? 0 : static_cast<uint32_t>(limit) + 1;
  }

  const BitCodec& codec_;
  std::vector<std::byte> query_;
};

}  // namespace

std::unique_ptr<Scanner> BitsForm::scanner() const {
  return std::make_unique<BitsScanner>(*codec_);
}

}  // namespace shortlist::lists
