#include "cluster/batches.h"

#include <algorithm>
#include <numeric>

#include "base/random.h"
#include "base/threads.h"
#include "cluster/init.h"

namespace shortlist::cluster {
namespace {

constexpr size_t kPollRows = 1024;

// Rows of all batches but the last, in random order.
std::vector<size_t> draw(size_t n, size_t size, uint64_t seed) {
  size_t most = size;
  while (most && 2 * most < n) most *= 2;
  if (!most || most >= n) return {};
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = 0; i < most; ++i) {
    if (i % kPollRows == 0) poll_interrupt();
    const auto left = static_cast<double>(n - i);
    const auto ahead = static_cast<size_t>((1 - uniform(seed, i)) * left);
    std::swap(order[i], order[std::min(n - 1, i + ahead)]);
  }
  order.resize(most);
  return order;
}

}  // namespace

Points Points::some(size_t most, uint64_t seed) const {
  return x.n <= most ? first(x.n) : at(sample(x.n, most, seed));
}

Points Points::at(const std::vector<size_t>& rows) const {
  Points out(x, nullptr);
  const size_t size = x.d * size_of(x.dtype);
  out.own_rows_.reserve(rows.size() * size);
  for (size_t i : rows) {
    out.own_rows_.append(x.row(i), size);
    if (weights) out.own_weights_.push_back(weights[i]);
  }
  out.x = {out.own_rows_.data(), rows.size(), x.d, x.dtype};
  if (weights) out.weights = out.own_weights_.data();
  return out;
}

Points Points::first(size_t n) const { return {x.slice(0, n), weights}; }

double Points::weight() const {
  return weights ? std::accumulate(weights, weights + x.n, 0.) : static_cast<double>(x.n);
}

Batches::Batches(const Points& all, size_t size, uint64_t seed)
    : all_(all),
      size_(size ? size : all.x.n),
      drawn_(all.at(draw(all.x.n, size, mix64(seed)))),
      now_(all.first(all.x.n)) {
  restart();
}

void Batches::take(size_t n) {
  const Points& from = n <= drawn_.x.n ? drawn_ : all_;
  now_ = from.first(n <= drawn_.x.n ? n : all_.x.n);
  const double weight = now_.weight();
  share_ = whole() || !(weight > 0) ? 1 : all_.weight() / weight;
}

}  // namespace shortlist::cluster
