#include "codec/codec.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace shortlist {
namespace {

class RowsComputer final : public DistanceComputer {
 public:
  RowsComputer(const RowsCodec& codec, Metric metric, const CodeStore& store)
      : codec_(codec), metric_(metric), store_(&store) {}

  void over(const CodeStore& store) override {
    store_ = &store;
    prepared_ = kNoSlot;
  }
  void set_query(const float* q) override { codec_.prepare(q, metric_, query_); }
  void set_query(slot_t stored) override {
    codec_.prepare_code(store_->row(stored), metric_, query_);
  }
  void score(const slot_t* slots, size_t n, float* out) override {
    run(query_, store_->data(), slots, n, out);
  }
  void score_range(size_t begin, size_t n, float* out) override {
    run(query_, store_->row(begin), nullptr, n, out);
  }
  void prefetch(slot_t s) const override {
    shortlist::prefetch(store_->row(s), store_->code_size());
  }
  void between(slot_t a, const slot_t* b, size_t n, float* out) override {
    if (a != prepared_) {
      codec_.prepare_code(store_->row(a), metric_, other_);
      prepared_ = a;
    }
    run(other_, store_->data(), b, n, out);
  }

 private:
  void run(const PreparedQuery& p, const std::byte* base, const slot_t* slots, size_t n,
           float* out) const {
    p.kernel(p.query, base, store_->code_size(), slots, n, codec_.compared_values(), out);
    if (p.scale != 1 || p.bias != 0)
      for (size_t i = 0; i < n; ++i) out[i] = p.bias + p.scale * out[i];
  }

  const RowsCodec& codec_;
  const Metric metric_;
  const CodeStore* store_;
  PreparedQuery query_, other_;
  slot_t prepared_ = kNoSlot;
};

}  // namespace

void RowsCodec::prepare_code(const std::byte* code, Metric metric, PreparedQuery& out) const {
  std::vector<float> x(d);
  decode(code, 1, x.data());
  prepare(x.data(), metric, out);
}

std::unique_ptr<DistanceComputer> RowsCodec::distance_computer(Metric metric,
                                                               const CodeStore& store) const {
  return std::make_unique<RowsComputer>(*this, metric, store);
}

void check_same_codes(const Codec& a, const Codec& b) {
  if (!a.same_as(b))
    throw ArgumentError(
        "cannot merge indexes whose codes mean different things; they must share dtype, type of "
        "code, encoder and training");
}

void encode_rows(const Codec& codec, const Rows& rows, std::byte* codes,
                 const ProgressFn* progress) {
  constexpr size_t kGrain = 256;
  parallel_for(rows.n, {.grain = kGrain, .progress = progress},
               [&](size_t begin, size_t end, size_t) {
                 const Rows part = rows.slice(begin, end);
                 std::byte* out = codes + begin * codec.code_size();
                 if (codec.stores(rows.dtype)) {
                   std::memcpy(out, part.data, part.n * codec.code_size());
                 } else {
                   std::vector<float> scratch;
                   codec.encode({as_floats(part, scratch), part.n, part.d}, out);
                 }
               });
}

void decode_rows(const Codec& codec, const std::byte* codes, size_t n, float* x) {
  constexpr size_t kGrain = 64;
  parallel_for(n, {.grain = kGrain}, [&](size_t begin, size_t end, size_t) {
    codec.decode(codes + begin * codec.code_size(), end - begin, x + begin * codec.d);
  });
}

}  // namespace shortlist
