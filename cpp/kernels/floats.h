// Rows of any dtype as floats, and whether they are numbers.
#pragma once

#include <vector>

#include "base/types.h"

namespace shortlist {

// `rows` as floats: itself, or converted into `scratch`.
const float* as_floats(const Rows& rows, std::vector<float>& scratch);
// Whether none of n values is NaN or Inf.
bool finite(const float* x, size_t n);
// Throws ArgumentError, which names one, if there are any: "cannot <verb> vectors with NaN or ...".
void check_finite(const Rows& x, const char* verb);

}  // namespace shortlist
