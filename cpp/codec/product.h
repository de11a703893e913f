// Product quantisation (Jegou, Douze and Schmid 2011), with faiss's field names and code bytes.
#pragma once

#include <vector>

#include "cluster/kmeans.h"
#include "codec/codec.h"

namespace shortlist {

// A vector is cut into M parts of dsub values, and each part is kept as the number, of nbits bits,
// of the centroid nearest to it among ksub of its own. Numbers lie one after the other, the lowest
// bit first. A query is compared by a table of its distances to all M * ksub centroids, so that a
// vector costs M additions.
class ProductQuantizer final : public Codec {
 public:
  // Throws ArgumentError unless M divides d and nbits is 1 to 8.
  ProductQuantizer(size_t d, size_t M, int nbits);

  const size_t M;
  const int nbits;
  size_t ksub() const { return size_t{1} << nbits; }
  size_t dsub() const { return d / M; }
  std::vector<float> centroids;  // M x ksub x dsub; empty until trained
  // Of part m.
  const float* part(size_t m) const { return centroids.data() + m * ksub() * dsub(); }

  std::string name() const override;
  bool same_as(const Codec& other) const override;
  size_t code_size() const override { return (M * static_cast<size_t>(nbits) + 7) / 8; }
  bool needs_training() const override { return true; }
  bool is_trained() const override { return !centroids.empty(); }
  // By k-means in each part, 25 iterations over at most 256 vectors a centroid. Throws
  // ArgumentError for fewer vectors than centroids.
  void train(Matrix<const float> x) override;
  // `niter` iterations more over all of x, or the first ones; and the numbers of the centroids that
  // are then nearest, M x x.rows, before guesses or kNoSlot.
  void refine(Matrix<const float> x, size_t niter, slot_t* nearest);
  void encode(Matrix<const float> x, std::byte* codes) const override;
  void decode(const std::byte* codes, size_t n, float* x) const override;
  bool compares_decoded() const override { return false; }
  std::unique_ptr<DistanceComputer> distance_computer(Metric metric,
                                                      const CodeStore& store) const override;

  // Distances, or negated products, of the parts of q to all centroids: M x ksub.
  void table(const float* q, Metric metric, float* out) const;

 private:
  void copy_part(Matrix<const float> x, size_t m, std::vector<float>& out) const;
  // The centroids of k-means in each part, from those there are or from the start.
  std::vector<float> clustered(Matrix<const float> x, cluster::Options options, bool onward,
                               slot_t* nearest = nullptr) const;
};

}  // namespace shortlist
