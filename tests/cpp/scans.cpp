// IndexSDC on every ISA, both encoders, and faiss's RaBitQ indexes, through adding in parts,
// removing and saving: what they find is what the definition of a code's distance says. IndexLSH,
// by the bits of its codes.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "check.h"
#include "codec/oddint/network.h"
#include "faiss_format/faiss_format.h"
#include "index/flat.h"
#include "index/rabitq.h"
#include "index/save.h"
#include "kernels/dispatch.h"

namespace shortlist::test {
namespace {

std::vector<float> normals(Random& random, size_t n, float size = 1) {
  std::vector<float> out(n);
  for (float& x : out) x = size * random.normal();
  return out;
}

std::shared_ptr<OddIntCodec> untrained(Random& random, size_t d, int bits, Metric metric) {
  if (random.chance(0.5))
    return std::make_shared<OddIntCodec>(std::make_shared<RabitqEncoder>(d), bits, metric);
  const size_t m = random.between(1, 70), width = random.chance(0.5) ? 5 : 0;
  std::vector<NetworkEncoder::Map> maps;
  for (int i = 0; i < 2 * bits - 1; ++i) {
    const size_t ins = i % 2 ? m : d, outs = i % 2 ? d : m;
    auto skip = normals(random, ins * outs), bias = normals(random, outs);
    auto inner = normals(random, width * ins), inner_bias = normals(random, width);
    maps.push_back({skip, bias, inner, inner_bias, normals(random, width * outs)});
  }
  auto codec = std::make_shared<OddIntCodec>(
      std::make_shared<NetworkEncoder>(d, m, bits, 2, normals(random, d * m), std::move(maps)),
      bits, metric);
  codec->set_centres(normals(random, d), normals(random, d));
  return codec;
}

std::shared_ptr<IndexSDC> empty(Random& random, size_t d, int bits, Metric metric) {
  if (random.chance(0.5)) return std::make_shared<IndexSDC>(untrained(random, d, bits, metric));
  auto codec = std::make_shared<RaBitQCodec>(d, bits, metric);
  if (random.chance(0.5)) return std::make_shared<IndexRaBitQ>(std::move(codec));
  return std::make_shared<IndexRaBitQFastScan>(std::move(codec), random.chance(0.5) ? 32 : 64);
}

// What the codes of x say of the distance to q, and how large the terms are that it is made of.
struct Told {
  float distance, terms;
};
std::vector<Told> by_definition(const IndexSDC& index, const std::vector<float>& x,
                                const float* q) {
  const OddIntCodec& codec = index.codec();
  const size_t n = x.size() / codec.d, m = codec.m(), size = codec.code_size();
  std::vector<std::byte> codes(n * size);
  codec.encode({x.data(), n, codec.d}, codes.data());
  OddIntCodec::Query query;
  codec.set_query(q, query);
  if (index.sdc->symmetric) codec.code_query(query);
  double sizes = 0;
  for (const float t : query.turned) sizes += std::abs(static_cast<double>(t));
  std::vector<Told> out;
  for (size_t i = 0; i < n; ++i) {
    const std::byte* code = codes.data() + i * size;
    double product = 0;
    for (size_t j = 0; j < m; ++j) {
      int c = 0;
      for (int b = 0; b < codec.bits; ++b)
        c = 2 * c +
            (static_cast<int>(code[static_cast<size_t>(b) * codec.plane_size() + j / 8]) >> j % 8 &
             1);
      product += static_cast<double>(c) * static_cast<double>(query.turned[j]);
    }
    OddIntCodec::Coarse coarse;
    std::copy_n(code + codec.coarse_at(), sizeof coarse, reinterpret_cast<std::byte*>(&coarse));
    const OddIntCodec::Fine fine = codec.fine(code + codec.fine_at(), coarse);
    float distance = index.outward(codec.distance(query, fine, product));
    if (dynamic_cast<const IndexRaBitQ*>(&index) && index.metric_type == Metric::l2)
      distance = std::max(distance, 0.f);
    out.push_back({distance, std::abs(query.near) + std::abs(fine.add) +
                                 std::abs(fine.rescale * query.scale * codec.half_range()) *
                                     static_cast<float>(sizes)});
  }
  return out;
}

void check(const IndexSDC& index, const std::vector<float>& x, Random& random) {
  const size_t d = index.d, n = x.size() / d, queries = random.between(1, 12);
  CHECK_EQ(index.ntotal(), n);
  auto q = normals(random, queries * d, 2);
  if (random.chance(0.3)) q[random.below(q.size())] = std::numeric_limits<float>::quiet_NaN();
  if (random.chance(0.3)) q[random.below(q.size())] = 3e38f;
  std::vector<float> exact(queries * n), some(queries * 5);
  std::vector<id_t> labels(queries * n), few(queries * 5);
  const Rows rows = as_rows({q.data(), queries, d});
  if (n) index.search_exact(rows, n, exact.data(), labels.data());
  index.search(rows, 5, some.data(), few.data());
  index.range_search(rows, index.outward(1));
  for (size_t i = 0; i < queries; ++i) {
    const float* row = q.data() + i * d;
    if (std::any_of(row, row + d, [](float v) { return !(std::abs(v) < 1e30f); })) continue;
    const auto want = by_definition(index, x, row);
    for (size_t j = 0; j < n; ++j) {
      const id_t id = labels[i * n + j];
      CHECK(id >= 0);
      const auto [distance, terms] = want[static_cast<size_t>(id)];
      CHECK(std::abs(exact[i * n + j] - distance) <= 3e-4f * terms);  // sums have 16 bits
    }
    for (size_t j = 0; j < std::min<size_t>(n, 5); ++j) CHECK(few[i * 5 + j] >= 0);
  }
}

// A file of faiss with a damaged byte is refused, or makes an index that can be searched.
void damaged(std::vector<std::byte> file, Random& random) {
  const size_t at =
      random.below(random.chance(0.5) ? file.size() : std::min<size_t>(file.size(), 90));
  file[at] ^= std::byte(1) << random.below(8);
  try {
    const auto index = read_faiss(*io::memory_source(file.data(), file.size()));
    const auto q = normals(random, index->d);
    std::vector<float> distances(5);
    std::vector<id_t> labels(5);
    index->search(as_rows({q.data(), 1, index->d}), 5, distances.data(), labels.data());
  } catch (const Error&) {
    return;
  }
}

std::shared_ptr<IndexSDC> copied(const IndexSDC& index, Random& random) {
  std::shared_ptr<Index> copy;
  if (dynamic_cast<const IndexRaBitQ*>(&index) && random.chance(0.5)) {
    io::MemorySink file;
    write_faiss(index, file);
    for (int i = 0; i < 5; ++i) damaged(file.bytes, random);
    copy = read_faiss(*io::memory_source(file.bytes.data(), file.bytes.size()));
  } else {
    copy = clone_index(index);
  }
  CHECK_EQ(copy->class_name(), index.class_name());
  return std::dynamic_pointer_cast<IndexSDC>(copy);
}

void history(Random& random, size_t d, int bits, Metric metric) {
  auto index = empty(random, d, bits, metric);
  const auto training = normals(random, 60 * d);
  index->train(as_rows({training.data(), 60, d}));
  index->sdc->symmetric = random.chance(0.4);
  std::vector<float> x;
  for (int step = 0; step < 4; ++step) {
    const size_t n = random.between(1, 90);
    const auto fresh = normals(random, n * d);
    index->add(as_rows({fresh.data(), n, d}));
    x.insert(x.end(), fresh.begin(), fresh.end());
    if (random.chance(0.6)) {
      const size_t have = x.size() / d, from = random.below(have);
      const size_t to = std::min(have, from + random.between(1, 50));
      const SelectorRange gone(static_cast<id_t>(from), static_cast<id_t>(to));
      CHECK_EQ(index->remove_ids(gone), to - from);
      x.erase(x.begin() + static_cast<ptrdiff_t>(from * d),
              x.begin() + static_cast<ptrdiff_t>(to * d));
    }
    if (random.chance(0.3)) index = copied(*index, random);
    check(*index, x, random);
  }
  std::vector<float> huge(d, 3e38f), back(d);
  index->add(as_rows({huge.data(), 1, d}));
  const auto last = static_cast<id_t>(index->ntotal()) - 1;
  index->reconstruct_batch(&last, 1, back.data());
}

void signs(Random& random, size_t d, size_t nbits, bool rotates, bool trains) {
  const size_t n = random.between(1, 150);
  auto lsh = std::make_shared<LshCodec>(d, nbits, rotates, trains);
  if (rotates) lsh->draw_rotation();
  std::shared_ptr<Index> index = std::make_shared<IndexLSH>(lsh);
  const auto x = normals(random, n * d);
  const Rows rows = as_rows({x.data(), n, d});
  index->train(rows);
  index->add(rows);
  io::MemorySink file;
  write_faiss(*index, file);
  for (int i = 0; i < 20; ++i) damaged(file.bytes, random);
  index = read_faiss(*io::memory_source(file.bytes.data(), file.bytes.size()));
  index = clone_index(*index);
  const size_t size = index->sa_code_size();
  std::vector<std::byte> codes(n * size);
  index->sa_encode(rows, codes.data());
  std::vector<float> distances(n * n), back(n * d);
  std::vector<id_t> labels(n * n);
  index->search(rows, n, distances.data(), labels.data());
  index->sa_decode(codes.data(), n, back.data());
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      const auto other = static_cast<size_t>(labels[i * n + j]);
      int differ = 0;
      for (size_t k = 0; k < size; ++k)
        differ +=
            std::popcount(static_cast<unsigned>(codes[i * size + k] ^ codes[other * size + k]));
      CHECK_EQ(distances[i * n + j], static_cast<float>(differ));
    }
}

}  // namespace

void scans(uint64_t seed) {
  Random random(seed);
  const kernels::Isa before = kernels::level();
  for (const kernels::Isa isa : kernels::runnable()) {
    kernels::set_level(isa);
    for (int bits = 1; bits <= 8; ++bits)
      for (const size_t d : {1, 20, 65})
        for (const Metric metric : {Metric::l2, Metric::inner_product})
          history(random, d, bits, metric);
    for (const size_t d : {1, 20, 65})
      for (const size_t nbits : {1, 20, 65})
        for (const bool rotates : {false, true})
          if (rotates || nbits <= d) signs(random, d, nbits, rotates, random.chance(0.5));
  }
  kernels::set_level(before);
}

}  // namespace shortlist::test
