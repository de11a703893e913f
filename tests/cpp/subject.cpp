#include "subject.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <set>

#include "index/ivf_pqr.h"
#include "index/multi_index.h"
#include "index/pretransform.h"
#include "index/save.h"
#include "index/sdc.h"

namespace shortlist::test {

std::shared_ptr<Index> unchanged_before(std::shared_ptr<Index> index) {
  auto same = std::make_shared<LinearTransform>(index->d, index->d);
  same->A.resize(index->d * index->d);
  for (size_t i = 0; i < index->d; ++i) same->A[i * index->d + i] = 1;
  same->set_trained(true);
  return std::make_shared<IndexPreTransform>(std::move(index),
                                             IndexPreTransform::Chain{std::move(same)});
}

const std::vector<Kind>& kinds() {
  const auto hnsw = [](size_t d, Metric m, DType t) {
    auto index = std::make_shared<IndexHNSWFlat>(d, 8, m, t);
    index->hnsw->efSearch = 48;
    return index;
  };
  const auto binary_hnsw = [](size_t d, Metric) {
    auto index = std::make_shared<IndexBinaryHNSW>(8 * d, 8);
    index->hnsw->efSearch = 48;
    return index;
  };
  const auto lists = [](size_t d, Metric m, float soar_lambda) {
    auto index = std::make_shared<IndexIVFFlat>(std::make_shared<IndexFlat>(d, m), d, 5, m);
    index->nprobe = 5;
    index->set_soar_lambda(soar_lambda);
    return index;
  };
  const Traits flat{.exact = true, .renumbers = true}, graph{};
  const Traits all_lists{.exact = true, .merges = false};
  static const std::vector<Kind> all{
      {"Flat", flat, [](size_t d, Metric m) { return std::make_shared<IndexFlat>(d, m); }},
      {"Flat f16", flat,
       [](size_t d, Metric m) { return std::make_shared<IndexFlat>(d, m, DType::f16); }},
      {"Flat u8", flat,
       [](size_t d, Metric m) { return std::make_shared<IndexFlat>(d, m, DType::u8); }},
      {"Flat i8", flat,
       [](size_t d, Metric m) { return std::make_shared<IndexFlat>(d, m, DType::i8); }},
      {"SQ8", flat,
       [](size_t d, Metric m) {
         return std::make_shared<IndexScalarQuantizer>(d, QuantizerType::qt_8bit, m);
       }},
      {"SQ8 uniform", flat,
       [](size_t d, Metric m) {
         return std::make_shared<IndexScalarQuantizer>(d, QuantizerType::qt_8bit_uniform, m);
       }},
      {"HNSW", graph, [hnsw](size_t d, Metric m) { return hnsw(d, m, DType::f32); }},
      {"HNSW f16", graph, [hnsw](size_t d, Metric m) { return hnsw(d, m, DType::f16); }},
      {"HNSW u8", graph, [hnsw](size_t d, Metric m) { return hnsw(d, m, DType::u8); }},
      {"HNSW i8", graph, [hnsw](size_t d, Metric m) { return hnsw(d, m, DType::i8); }},
      {"HNSW deterministic", graph,
       [hnsw](size_t d, Metric m) {
         auto index = hnsw(d, m, DType::f32);
         index->hnsw->deterministic = true;
         return index;
       }},
      {"HNSW blocks", graph,
       [hnsw](size_t d, Metric m) {
         auto index = hnsw(d, m, DType::f32);
         index->use_neighbor_blocks(true);
         return index;
       }},
      {"HNSW u8 blocks", graph,
       [hnsw](size_t d, Metric m) {
         auto index = hnsw(d, m, DType::u8);
         index->use_neighbor_blocks(true);
         return index;
       }},
      {"HNSW SQ8", graph,
       [](size_t d, Metric m) {
         auto index = std::make_shared<IndexHNSWSQ>(d, QuantizerType::qt_8bit, 8, m);
         index->hnsw->efSearch = 48;
         return index;
       }},
      {"IVF Flat", all_lists, [lists](size_t d, Metric m) { return lists(d, m, 0); }},
      {"IVF Flat twice", all_lists, [lists](size_t d, Metric m) { return lists(d, m, 1); }},
      {"IVF SQ8", all_lists,
       [](size_t d, Metric m) {
         auto sq = std::make_shared<ScalarQuantizer>(d, QuantizerType::qt_8bit);
         auto index = std::make_shared<IndexIVFScalarQuantizer>(
             std::make_shared<IndexHNSWFlat>(d, 8, m), 5, std::move(sq), m, false);
         index->nprobe = 5;
         return index;
       }},
      {"IVF PQR",
       {.merges = false, .l2 = true},
       [](size_t d, Metric m) {
         const auto parts = [&] { return std::make_shared<ProductQuantizer>(d, d, 4); };
         auto index =
             std::make_shared<IndexIVFPQR>(std::make_shared<IndexFlat>(d, m), 5, parts(), parts());
         index->nprobe = 5;
         index->set_k_factor(8);
         return index;
       }},
      {"IMI Flat",
       {.exact = true, .merges = false, .l2 = true},
       [](size_t d, Metric m) {
         const size_t parts = d % 3 == 0 ? 3 : d % 2 == 0 ? 2 : 1, nlist = size_t{1} << 2 * parts;
         auto index = std::make_shared<IndexIVFFlat>(
             std::make_shared<MultiIndexQuantizer>(std::make_shared<ProductQuantizer>(d, parts, 2)),
             d, nlist, m);
         index->nprobe = nlist;
         return index;
       }},
      {"IDMap Flat",
       {.exact = true, .named = true},
       [](size_t d, Metric m) {
         return std::make_shared<IndexIDMap>(std::make_shared<IndexFlat>(d, m));
       }},
      {"IDMap2 Flat",
       {.exact = true, .named = true},
       [](size_t d, Metric m) {
         return std::make_shared<IndexIDMap2>(std::make_shared<IndexFlat>(d, m));
       }},
      {"IDMap2 HNSW",
       {.named = true, .merges = false},
       [hnsw](size_t d, Metric m) {
         return std::make_shared<IndexIDMap2>(hnsw(d, m, DType::f32));
       }},
      {"Refine SQ8",
       {.removes = false, .merges = false},
       [](size_t d, Metric m) {
         auto index = std::make_shared<IndexRefineFlat>(
             std::make_shared<IndexScalarQuantizer>(d, QuantizerType::qt_8bit, m));
         index->k_factor = 4;
         return index;
       }},
      {"Refine HNSW",
       {.removes = false, .merges = false},
       [hnsw](size_t d, Metric m) {
         auto index = std::make_shared<IndexRefine>(hnsw(d, m, DType::u8),
                                                    std::make_shared<IndexFlat>(d, m));
         index->k_factor = 2;  // whole numbers are too coarse for inner products to keep the order
         return index;
       }},
      {"Refine HNSW SDC",
       {.removes = false, .merges = false},
       [](size_t d, Metric m) {
         auto graph = std::make_shared<IndexHNSWSDC>(
             std::make_shared<OddIntCodec>(std::make_shared<RabitqEncoder>(d), 7, m), 8);
         graph->hnsw->efSearch = 48;
         auto index = std::make_shared<IndexRefineFlat>(std::move(graph));
         index->k_factor = 4;
         return index;
       }},
      {"PreTransform Flat", flat,
       [](size_t d, Metric m) { return unchanged_before(std::make_shared<IndexFlat>(d, m)); }},
      {"PreTransform HNSW", graph,
       [hnsw](size_t d, Metric m) { return unchanged_before(hnsw(d, m, DType::f32)); }},
      {"IDMap2 PreTransform SQ8",
       {.exact = true, .named = true},
       [](size_t d, Metric m) {
         return std::make_shared<IndexIDMap2>(unchanged_before(
             std::make_shared<IndexScalarQuantizer>(d, QuantizerType::qt_8bit, m)));
       }},
      {"BinaryFlat",
       {.exact = true, .renumbers = true, .bits = true},
       [](size_t d, Metric) { return std::make_shared<IndexBinaryFlat>(8 * d); }},
      {"BinaryHNSW", {.bits = true}, binary_hnsw},
      {"BinaryIDMap2 BinaryHNSW",
       {.named = true, .merges = false, .bits = true},
       [binary_hnsw](size_t d, Metric m) {
         return std::make_shared<IndexBinaryIDMap2>(binary_hnsw(d, m));
       }},
  };
  return all;
}

const IndexFlatCodes& codes_of(const Index& index) {
  if (const auto* map = dynamic_cast<const IndexIDMap*>(&index)) return codes_of(*map->index);
  if (const auto* refine = dynamic_cast<const IndexRefine*>(&index)) return *refine->refine_index;
  if (const auto* graph = dynamic_cast<const IndexHNSW*>(&index)) return *graph->storage;
  if (const auto* behind = dynamic_cast<const IndexPreTransform*>(&index))
    return codes_of(*behind->index);
  return dynamic_cast<const IndexFlatCodes&>(index);
}

// Within the range of every dtype, and never exact: a cast must round the same way everywhere.
std::vector<float> random_rows(Random& random, size_t n, size_t d) {
  std::vector<float> out(n * d);
  for (float& x : out) x = std::clamp(60 + 20 * random.normal(), 0.f, 127.f);
  return out;
}

Subject::Subject(const Kind& kind, size_t d, Metric metric, Random& random)
    : kind_(kind),
      d_(d),
      metric_(metric),
      random_(random),
      index_(kind.make(d, metric)),
      training_(random_rows(random, 300, d)) {
  train(*index_);
}

void Subject::train(Index& index) {
  if (!index.is_trained()) index.train(as_rows({training_.data(), training_.size() / d_, d_}));
  CHECK(index.is_trained());
}

std::vector<Subject::Row> Subject::stored(const std::vector<float>& x) const {
  const size_t n = x.size() / d_;
  if (dynamic_cast<const IndexIVFFlat*>(index_.get())) {
    std::vector<Row> whole;
    for (size_t i = 0; i < n; ++i) whole.emplace_back(&x[i * d_], &x[i * d_] + d_);
    return whole;
  }
  if (dynamic_cast<const IndexIVFPQR*>(index_.get())) {  // of what their centroids leave
    std::vector<std::byte> codes(n * index_->sa_code_size());
    Row rows(n * d_);
    index_->sa_encode(as_rows({x.data(), n, d_}), codes.data());
    index_->sa_decode(codes.data(), n, rows.data());
    std::vector<Row> decoded;
    for (size_t i = 0; i < n; ++i) decoded.emplace_back(&rows[i * d_], &rows[i * d_] + d_);
    return decoded;
  }
  const auto* lists = dynamic_cast<const IndexIVFScalarQuantizer*>(index_.get());
  const Codec& codec = lists ? *lists->sq : codes_of(*index_).codec();
  std::vector<Row> out;
  if (n == 0) return out;
  std::vector<std::byte> codes(n * codec.code_size());
  codec.encode({x.data(), n, d_}, codes.data());
  for (size_t i = 0; i < n; ++i) {
    Row row(d_);
    codec.decode(codes.data() + i * codec.code_size(), 1, row.data());
    out.push_back(std::move(row));
  }
  return out;
}

constexpr id_t kPastCounting = id_t{1} << 22;

double Subject::distance(const float* q, const Row& row) const {
  double sum = 0;
  if (kind_.traits.bits) {
    for (size_t i = 0; i < d_; ++i)
      sum += std::popcount(static_cast<unsigned>(q[i]) ^ static_cast<unsigned>(row[i]));
    return sum;
  }
  for (size_t i = 0; i < d_; ++i)
    sum += metric_ == Metric::l2 ? std::pow(double{q[i]} - row[i], 2) : double{q[i]} * row[i];
  return sum;
}

double Subject::tolerance(const float* q, const Row& row) const {
  if (kind_.traits.bits) return 0;
  double norms = 0;
  for (size_t i = 0; i < d_; ++i) norms += double{q[i]} * q[i] + double{row[i]} * row[i];
  return 1e-5 * norms + 1e-6;
}

std::vector<id_t> Subject::some_ids() {
  std::vector<id_t> out;
  const double p = random_.chance(0.2) ? 0.9 : 0.2;
  for (const auto& [id, row] : rows_)
    if (random_.chance(p)) out.push_back(id);
  return out;
}

std::vector<id_t> Subject::fresh_ids(size_t n) {
  std::set<id_t> out;
  while (out.size() < n) {
    const auto id = static_cast<id_t>(random_.below(1u << 20));
    if (!rows_.count(id) && !rows_.count(id + kPastCounting)) out.insert(id);
  }
  std::vector<id_t> list(out.begin(), out.end());
  for (size_t i = 1; i < n; ++i) std::swap(list[i], list[random_.below(i + 1)]);
  return list;
}

void Subject::add() {
  const size_t n = random_.chance(0.2) ? random_.below(400) : random_.below(20);
  const std::vector<float> x = random_rows(random_, n, d_);
  const Rows rows = as_rows({x.data(), n, d_});
  const auto values = stored(x);
  const bool lists = dynamic_cast<IndexIVF*>(index_.get());
  const bool by_id = kind_.traits.named ||
                     ((lists || dynamic_cast<IndexHNSW*>(index_.get())) && random_.chance(0.2));
  if (by_id) {
    std::vector<id_t> ids = fresh_ids(n);
    if (lists)  // which count vectors, whatever ids they were given
      for (id_t& id : ids) id += kPastCounting;
    index_->add_with_ids(rows, ids.data());
    for (size_t i = 0; i < n; ++i) {
      rows_[ids[i]] = values[i];
      next_ = lists ? next_ + 1 : std::max(next_, ids[i] + 1);
    }
  } else {
    index_->add(rows);
    for (const Row& row : values) rows_[next_++] = row;
  }
}

void Subject::remove() {
  const std::vector<id_t> ids = some_ids();
  size_t removed;
  if (random_.chance(0.5))
    removed = index_->remove_ids(SelectorBatch(ids));
  else
    removed = index_->remove_ids(SelectorArray(ids));
  CHECK_EQ(removed, ids.size());
  for (id_t id : ids) rows_.erase(id);
  if (!kind_.traits.renumbers) return;
  std::map<id_t, Row> packed;
  for (auto& [id, row] : rows_) packed.emplace(static_cast<id_t>(packed.size()), std::move(row));
  rows_ = std::move(packed);
  next_ = static_cast<id_t>(rows_.size());
}

void Subject::update() {
  auto* graph = dynamic_cast<IndexHNSW*>(index_.get());
  if (!graph) return;
  const std::vector<id_t> ids = some_ids();
  const std::vector<float> x = random_rows(random_, ids.size(), d_);
  graph->update_vectors(as_rows({x.data(), ids.size(), d_}), ids.data());
  const auto values = stored(x);
  for (size_t i = 0; i < ids.size(); ++i) rows_[ids[i]] = values[i];
}

void Subject::merge() {
  const size_t n = random_.below(60);
  const std::vector<float> x = random_rows(random_, n, d_);
  const std::shared_ptr<Index> other = kind_.make(d_, metric_);
  train(*other);
  const auto values = stored(x);
  id_t add_id = 0;
  if (kind_.traits.named) {
    add_id = static_cast<id_t>(random_.below(1000)) + (id_t{1} << 21) + next_;
    std::vector<id_t> ids(n);
    for (size_t i = 0; i < n; ++i) {
      ids[i] = static_cast<id_t>(i * 3);
      rows_[ids[i] + add_id] = values[i];
      next_ = std::max(next_, ids[i] + add_id + 1);
    }
    other->add_with_ids(as_rows({x.data(), n, d_}), ids.data());
  } else {
    other->add(as_rows({x.data(), n, d_}));
    for (const Row& row : values) rows_[next_++] = row;
  }
  index_->merge_from(*other, add_id);
  CHECK_EQ(other->ntotal(), size_t{0});
}

// What comes back from bytes answers the same, and replaces the index from here on.
void Subject::reload() {
  io::MemorySink sink;
  save(*index_, sink, {{"who", "subject"}});
  Metadata metadata;
  const auto source = io::memory_source(sink.bytes.data(), sink.bytes.size());
  const std::shared_ptr<Index> copy = load(*source, &metadata);
  CHECK_EQ(metadata.at("who"), "subject");
  CHECK_EQ(copy->class_name(), index_->class_name());
  CHECK_EQ(copy->ntotal(), index_->ntotal());
  const size_t n = 5, k = 7;
  const std::vector<float> q = random_rows(random_, n, d_);
  std::vector<float> a(n * k), b(n * k);
  std::vector<id_t> i(n * k), j(n * k);
  index_->search(as_rows({q.data(), n, d_}), k, a.data(), i.data());
  copy->search(as_rows({q.data(), n, d_}), k, b.data(), j.data());
  CHECK(a == b);
  CHECK(i == j);
  io::MemorySink again;
  save(*copy, again, metadata);
  CHECK(again.bytes == sink.bytes);
  index_ = copy;

  for (int round = 0; round < 4; ++round) {
    auto bytes = sink.bytes;
    if (round % 2)
      bytes.resize(random_.below(bytes.size()));
    else
      bytes[random_.below(bytes.size())] ^= static_cast<std::byte>(random_.between(1, 255));
    CHECK_THROWS(CorruptIndexError, load(*io::memory_source(bytes.data(), bytes.size())));
  }
}

void Subject::step() {
  switch (random_.below(10)) {
    case 0:
    case 1:
    case 2:
    case 3:
      add();
      break;
    case 4:
    case 5:
      if (kind_.traits.removes) remove();
      break;
    case 6:
      update();
      break;
    case 7:
      if (kind_.traits.merges) merge();
      break;
    case 8:
      reload();
      break;
    case 9:
      if (random_.chance(0.15)) {
        index_->reset();
        rows_.clear();
        next_ = 0;
      }
      break;
  }
  CHECK_EQ(index_->ntotal(), rows_.size());
}

void Subject::check() {
  check_search(nullptr);
  check_search(nullptr, true);
  const SelectorBatch some(some_ids());
  check_search(&some);
  const SelectorRange range(static_cast<id_t>(random_.below(100)),
                            static_cast<id_t>(random_.below(1000)));
  check_search(&range);
  check_range();
  check_reconstruct();
  check_errors();
}

// `exhaustive` asks search_exact, which finds the true neighbours whatever the structure.
void Subject::check_search(const Selector* sel, bool exhaustive) {
  const size_t n = random_.between(1, 40),
               k = random_.chance(0.1) ? random_.between(1, 600) : random_.between(1, 12);
  const std::vector<float> q = random_rows(random_, n, d_);
  std::vector<float> distances(n * k, -1);
  std::vector<id_t> labels(n * k, -7);
  std::unique_ptr<SearchParameters> params;
  if (sel) {
    params = std::make_unique<SearchParameters>();
    params->sel = std::shared_ptr<const Selector>(std::shared_ptr<void>(), sel);
  }
  const Rows queries = as_rows({q.data(), n, d_});
  if (exhaustive)
    index_->search_exact(queries, k, distances.data(), labels.data());
  else
    index_->search(queries, k, distances.data(), labels.data(), params.get());
  const double sign = metric_ == Metric::l2 ? 1 : -1;
  size_t admitted = 0;
  for (const auto& [id, row] : rows_) admitted += !sel || sel->is_member(id);
  for (size_t i = 0; i < n; ++i) {
    const float* query = q.data() + i * d_;
    std::vector<double> exact;
    for (const auto& [id, row] : rows_)
      if (!sel || sel->is_member(id)) exact.push_back(sign * distance(query, row));
    std::sort(exact.begin(), exact.end());
    std::set<id_t> seen;
    for (size_t j = 0; j < k; ++j) {
      const id_t id = labels[i * k + j];
      const float found = distances[i * k + j];
      if (j >= std::min(k, admitted)) {
        CHECK_EQ(id, kNoId);
        CHECK_EQ(found, static_cast<float>(sign) * FLT_MAX);
        continue;
      }
      CHECK(rows_.count(id));
      CHECK(!sel || sel->is_member(id));
      CHECK(seen.insert(id).second);
      const Row& row = rows_.at(id);
      const double near = tolerance(query, row);
      CHECK(std::abs(found - distance(query, row)) <= near);
      if (j) CHECK(sign * found >= sign * distances[i * k + j - 1]);
      if (kind_.traits.exact || exhaustive) CHECK(std::abs(sign * found - exact[j]) <= near);
      if (exhaustive) continue;
      ++asked_;
      found_ += sign * found <= exact[std::min(k, admitted) - 1] + near;
    }
  }
}

void Subject::check_range() {
  const size_t n = random_.below(6);
  const std::vector<float> q = random_rows(random_, std::max<size_t>(n, 1), d_);
  std::vector<double> all;
  for (const auto& [id, row] : rows_) all.push_back(distance(q.data(), row));
  const auto radius = static_cast<float>(all.empty() ? 1 : all[random_.below(all.size())]);
  const RangeResult found = index_->range_search(as_rows({q.data(), n, d_}), radius);
  CHECK_EQ(found.lims.size(), n + 1);
  CHECK_EQ(found.lims[n], found.labels.size());
  CHECK_EQ(found.lims[n], found.distances.size());
  const double sign = metric_ == Metric::l2 ? 1 : -1;
  for (size_t i = 0; i < n; ++i) {
    const float* query = q.data() + i * d_;
    std::set<id_t> seen;
    for (size_t at = found.lims[i]; at < found.lims[i + 1]; ++at) {
      CHECK(rows_.count(found.labels[at]));
      CHECK(seen.insert(found.labels[at]).second);
      const Row& row = rows_.at(found.labels[at]);
      CHECK(std::abs(found.distances[at] - distance(query, row)) <= tolerance(query, row));
      const bool rescored = dynamic_cast<const IndexRefine*>(index_.get());
      if (!rescored) CHECK(sign * found.distances[at] < sign * radius);
    }
    if (!kind_.traits.exact) continue;
    for (const auto& [id, row] : rows_)
      if (sign * distance(query, row) < sign * radius - tolerance(query, row))
        CHECK(seen.count(id));
  }
}

void Subject::check_reconstruct() {
  const bool by_row_only = index_->class_name() == "IndexIDMap";
  std::vector<float> out(d_);
  for (id_t id : some_ids()) {
    if (by_row_only) {
      CHECK_THROWS(UnsupportedError, index_->reconstruct_batch(&id, 1, out.data()));
      continue;
    }
    index_->reconstruct_batch(&id, 1, out.data());
    CHECK(out == rows_.at(id));
  }
  const id_t bad[] = {-1, id_t{1} << 40, std::numeric_limits<id_t>::max(),
                      std::numeric_limits<id_t>::min()};
  if (!by_row_only)
    for (id_t id : bad) CHECK_THROWS(IdError, index_->reconstruct_batch(&id, 1, out.data()));
}

void Subject::check_errors() {
  std::vector<float> q(d_ + 1, 1.f), distances(8);
  std::vector<id_t> labels(8);
  CHECK_THROWS(DimensionError,
               index_->search(as_rows({q.data(), 1, d_ + 1}), 1, distances.data(), labels.data()));
  CHECK_THROWS(ArgumentError,
               index_->search(as_rows({q.data(), 1, d_}), 0, distances.data(), labels.data()));
  CHECK_THROWS(DimensionError, index_->search_exact(as_rows({q.data(), 1, d_ + 1}), 1,
                                                    distances.data(), labels.data()));
  CHECK_THROWS(ArgumentError, index_->search_exact(as_rows({q.data(), 1, d_}), 0, distances.data(),
                                                   labels.data()));
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    q[random_.below(d_)] = bad;
    CHECK_THROWS(ArgumentError, index_->add(as_rows({q.data(), 1, d_})));
    index_->search(as_rows({q.data(), 1, d_}), 8, distances.data(), labels.data());
    for (id_t id : labels) CHECK_EQ(id, kNoId);
    std::fill(labels.begin(), labels.end(), -7);
    index_->search_exact(as_rows({q.data(), 1, d_}), 8, distances.data(), labels.data());
    for (id_t id : labels) CHECK_EQ(id, kNoId);
  }
}

}  // namespace shortlist::test
