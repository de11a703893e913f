// The query-aware transform (A2ATS, arXiv 2502.12665, equations 13 to 18), of vectors and queries.
#pragma once

#include <array>

#include "codec/transform/transform.h"

namespace shortlist {

// Vectors become A x, queries B q, so that a code of A x tells the product of x and q. With A a
// root of H = E[q q^T] and B its inverse transposed, the squared error of the code of A x is the
// expected squared error of the product; a power in between weighs vectors and queries. Then B is
// fitted to what the codes have become: least squares over training queries and their neighbours.
// Which of these is best is tried on queries held out (index/query_aware.h).
class QueryAwareTransform final : public VectorTransform {
 public:
  explicit QueryAwareTransform(size_t d, Objective objective = Objective::recall);
  std::string class_name() const override { return "QueryAwareTransform"; }

  Objective objective;
  std::vector<float> A, inverse, B;  // d x d by rows, of vectors, back, and of queries

  // What was tried, on queries held out; the first is the codec without a transform.
  struct Trial {
    float exponent;     // of H^(exponent / 2)
    bool fitted;        // whether B was fitted to the codes
    bool residual;      // of L2: whether distances add what codes leave of vectors
    float recall;       // of the 10 nearest
    float score_error;  // mean squared error of products with, or distances to, the 100 nearest
  };
  std::vector<Trial> trials;
  bool residual = false;          // of L2, see IndexPreTransform
  size_t chosen = 0;              // of them
  std::array<size_t, 3> sizes{};  // vectors, queries to learn from, queries held out

  size_t memory() const override { return (A.size() + inverse.size() + B.size()) * sizeof(float); }

  // A and B of an exponent; `roots` of the queries' H.
  class Roots {
   public:
    // Of queries of at least d values; H is shrunk towards a multiple of I, the more the fewer.
    explicit Roots(Matrix<const float> queries);
    std::vector<float> power(double p) const;  // H^p, scaled to a mean square of A's rows of 1

   private:
    size_t d_;
    std::vector<double> values_, vectors_;
  };
  void set_exponent(const Roots& roots, double exponent);

  // Fits B: queries (n, d), and of each k neighbours, as rows of `codes` (what the codes of A x
  // stand for) and their true products. `level` weighs the error that all neighbours of a query
  // share, which changes no order, against the others.
  void fit(Matrix<const float> queries, size_t k, const int64_t* neighbours, const float* products,
           Matrix<const float> codes, double level);

 protected:
  void do_train(Matrix<const float>) override;  // throws ArgumentError: it needs queries
  void do_apply(Matrix<const float> x, float* out) const override;
  void do_apply_queries(Matrix<const float> q, float* out) const override;
  void do_reverse(Matrix<const float> y, float* out) const override;
  bool same_values(const VectorTransform& other) const override;
  void check_values() const override;
};

}  // namespace shortlist
