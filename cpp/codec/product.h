// Product quantisation (Jegou, Douze and Schmid 2011), with faiss's field names and code bytes.
#pragma once

#include <atomic>
#include <vector>

#include "cluster/kmeans.h"
#include "codec/codec.h"

namespace shortlist {

// A vector is cut into M parts of dsub values, and each part is kept as the number, of nbits bits,
// of the centroid nearest to it among ksub of its own. Numbers lie one after the other, the lowest
// bit first. A query is compared by a table of its distances to all M * ksub centroids, so that a
// vector costs M additions.
//
// With an offset the last of the d values is in no part. A float behind the code keeps it, and the
// distance of q and x is q's last value + x's - 2 <q, x> of the others.
class ProductQuantizer final : public Codec {
 public:
  // Throws ArgumentError unless M divides d, or d - 1 with an offset, and nbits is 1 to 8.
  ProductQuantizer(size_t d, size_t M, int nbits, bool offset = false);

  const size_t M;
  const int nbits;
  const bool offset;
  size_t ksub() const { return size_t{1} << nbits; }
  size_t dsub() const { return (d - offset) / M; }
  cluster::Options cp;  // of k-means in each part; part m has the seed cp.seed + m
  // Above 0, for inner products: codes, and in train centroids, by an error that weighs more along
  // the vector, as suits products of at least this share of the vector's length with queries of
  // length 1. See codec/anisotropic.h.
  std::atomic<float> anisotropic_threshold = 0;
  // Throws ArgumentError unless it is 0 or more and less than 1.
  void set_anisotropic_threshold(float threshold);
  const std::vector<float>& centroids() const { return centroids_; }  // M x ksub x dsub, or none
  // Of M x ksub x dsub values, or none, of one that is not trained. Nobody may be reading.
  void set_centroids(std::vector<float> centroids);
  // Of part m.
  const float* part(size_t m) const { return centroids_.data() + m * ksub() * dsub(); }

  std::string name() const override;
  bool same_as(const Codec& other) const override;
  size_t code_size() const override { return parts_size() + (offset ? sizeof(float) : 0); }
  size_t parts_size() const { return (M * static_cast<size_t>(nbits) + 7) / 8; }
  bool needs_training() const override { return true; }
  bool is_trained() const override { return !centroids_.empty(); }
  // By k-means in each part, and where there is a threshold by more iterations for that error, over
  // half as many vectors. Throws ArgumentError for fewer vectors than centroids.
  void train(Matrix<const float> x) override;
  // `niter` iterations more over all of x, or the first ones; and the numbers of the centroids that
  // are then nearest, M x x.rows, before guesses or kNoSlot.
  void refine(Matrix<const float> x, size_t niter, slot_t* nearest);
  void encode(Matrix<const float> x, std::byte* codes) const override;
  void decode(const std::byte* codes, size_t n, float* x) const override;
  bool compares_decoded() const override { return false; }
  void check_serves(Metric metric, bool residuals) const override;
  std::unique_ptr<DistanceComputer> distance_computer(Metric metric,
                                                      const CodeStore& store) const override;

  // Distances, or negated products, of the parts of q to all centroids: M x ksub.
  void table(const float* q, Metric metric, float* out) const;

 private:
  // Of a part's centroids to its values x.
  void distances(const float* x, size_t m, Metric metric, float* out) const;
  void copy_part(Matrix<const float> x, size_t m, std::vector<float>& out) const;
  // The centroids of k-means in each part, from those there are or from the start.
  std::vector<float> clustered(Matrix<const float> x, cluster::Options options, bool onward,
                               slot_t* nearest = nullptr) const;

  std::vector<float> centroids_;
  std::vector<float> columns_;  // the same, upright: M x dsub x ksub
};

// Of those whose codes `what` keeps. Throws UnsupportedError for one with an offset.
std::shared_ptr<ProductQuantizer> without_offset(std::shared_ptr<ProductQuantizer> pq,
                                                 const char* what);

}  // namespace shortlist
