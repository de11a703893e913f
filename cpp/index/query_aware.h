// Training of an index behind a query-aware transform.
#pragma once

#include "codec/transform/query_aware.h"
#include "index/pretransform.h"

namespace shortlist {

// Trains the chain, which begins with a QueryAwareTransform, and the index behind it, so that what
// the objective asks for is best. Each exponent of H, with and without fitted queries, is tried
// with a copy of all that stands behind, trained on a sample of x, on queries held out.
// The plain codec is among the trials and stays unless another is better by more than chance.
// Throws UnsupportedError for L2 before an index that takes no offsets, ArgumentError for fewer
// than 32 queries and for NaN.
void train_query_aware(const IndexPreTransform::Chain& chain, const std::shared_ptr<Index>& index,
                       Matrix<const float> x, Matrix<const float> queries, Objective objective);

}  // namespace shortlist
