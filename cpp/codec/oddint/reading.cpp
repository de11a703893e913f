#include "codec/oddint/reading.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/floats.h"
#include "kernels/kernels.h"

namespace shortlist {

void OddIntReading::check(size_t m) const {
  if (turns.size() != m * d() || shift.size() != m || query_centre.size() != d())
    throw ArgumentError(text("what reads older codes has ", turns.size(), " weights and ",
                             shift.size(), " shifts; codes of ", m, " dimensions and vectors of ",
                             d(), " need ", m * d(), " and ", m));
  for (const auto* values : {&turns, &shift, &centre, &query_centre})
    if (!finite(values->data(), values->size()))
      throw ArgumentError("what reads older codes has values that are NaN or Inf");
  if (!(slope > 0) || !finite(&slope, 1) || !finite(&offset, 1))
    throw ArgumentError(
        text("old_gain is ", slope, ", ", offset, "; it should be a number above 0 and another"));
}

void OddIntReading::set_query(const OddIntCodec& codec, const float* q,
                              OddIntCodec::Query& out) const {
  std::vector<float> r(d());
  for (size_t i = 0; i < d(); ++i) r[i] = q[i] - query_centre[i];
  out.near = -ordered_dot(q, centre.data(), d());
  out.turned.assign(codec.padded(), 0.f);
  kernels::active().dot_f32(r.data(), d(), 1, turns.data(), d(), codec.m(), d(), out.turned.data(),
                            codec.m());
  for (size_t j = 0; j < codec.m(); ++j) out.turned[j] += shift[j];
  out.scale = 1;
  out.code.clear();
  codec.finish(out);
}

void OddIntReading::decode(const OddIntCodec& codec, const std::byte* code, float* x) const {
  std::vector<float> u(codec.padded());
  const float f = codec.values(code, u.data());
  std::copy(centre.begin(), centre.end(), x);
  for (size_t j = 0; j < codec.m(); ++j)
    for (size_t i = 0; i < d(); ++i) x[i] += f * u[j] * turns[j * d() + i];
}

}  // namespace shortlist
