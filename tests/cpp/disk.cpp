// Indexes on disk: damaged files of every kind are told, and searches from many threads agree while
// the index changes.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <numeric>
#include <thread>

#include "index/save.h"
#include "index/spann.h"
#include "spann/merge.h"
#include "subject.h"

namespace shortlist::test {
namespace {

namespace fs = std::filesystem;

// A folder of its own, gone in the end.
struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "shortlist-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw Failure("no folder for files");
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  std::string file(const std::string& name) const { return (path / name).string(); }
  fs::path path;
};

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// Vectors in the postings of their two nearest centroids, through runs and merging.
struct Made {
  Made(Random& random, const Folder& folder, size_t n, size_t d, size_t postings, bool coded,
       Metric metric)
      : x(random_rows(random, n, d)) {
    std::vector<float> heads = random_rows(random, postings, d);
    auto graph = std::make_shared<IndexHNSWFlat>(d, 8, metric);
    graph->add(as_rows({heads.data(), postings, d}));
    auto lists = [&] {
      auto one = std::make_shared<IndexFlat>(d, metric);
      const std::vector<float> zero(d);
      one->add(as_rows({zero.data(), 1, d}));
      return one;
    };
    parts.centroids = graph;
    parts.vectors = std::make_shared<IndexIVFFlat>(lists(), d, 1, metric);
    parts.codes = parts.vectors;
    const size_t near = std::min<size_t>(2, postings);
    std::vector<float> distances(n * near);
    std::vector<id_t> chosen(n * near);
    graph->search(as_rows({x.data(), n, d}), near, distances.data(), chosen.data());
    if (coded) {
      auto codec = std::make_shared<IndexIVFScalarQuantizer>(
          lists(), 1, std::make_shared<ScalarQuantizer>(d, QuantizerType::qt_8bit), metric);
      std::vector<float> twice, whose(2 * n * d);
      std::vector<const float*> centroids;
      for (size_t c = 0; c < near; ++c)
        for (size_t i = 0; i < n; ++i) {
          twice.insert(twice.end(), &x[i * d], &x[i * d] + d);
          float* centroid = &whose[centroids.size() * d];
          graph->reconstruct_batch(&chosen[i * near + c], 1, centroid);
          centroids.push_back(centroid);
        }
      codec->ivf().form->train({twice.data(), near * n, d}, centroids.data());
      codec->restore(true, 0);
      parts.codes = codec;
    }
    const lists::Form& form = *parts.codes->ivf().form;
    const size_t prefix = coded ? sizeof(uint64_t) : 0, size = prefix + form.code_size();
    std::vector<spann::EntryHead> entries;
    std::vector<uint32_t> order(n * near), rows;
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(),
                     [&](uint32_t a, uint32_t b) { return chosen[a] < chosen[b]; });
    std::vector<std::byte> codes;
    std::vector<float> centroid(d);
    for (const uint32_t i : order) {
      const size_t row = i / near;
      graph->reconstruct_batch(&chosen[i], 1, centroid.data());
      rows.push_back(static_cast<uint32_t>(entries.size()));
      entries.push_back({static_cast<id_t>(row), static_cast<slot_t>(chosen[i]), distances[i],
                         static_cast<uint32_t>(i % near)});
      codes.resize(codes.size() + size);
      std::byte* code = &codes[codes.size() - size];
      const uint64_t number = row;
      if (coded) std::memcpy(code, &number, sizeof number);
      form.encode({&x[row * d], 1, d}, centroid.data(), code + prefix);
    }
    const spann::Bounds bounds{0, static_cast<slot_t>(postings / 2), static_cast<slot_t>(postings)};
    run = folder.file("run");
    {
      const auto sink = io::create_file(run);
      spann::write_run(*sink, bounds, entries, codes.data(), rows.data(), size, 9);
      sink->commit();
    }
    std::vector<std::string> ids;
    for (size_t b = 0; b < 2; ++b) {
      ids.push_back(folder.file("some-ids" + std::to_string(b)));
      spann::IdSorter sorter(ids.back(), 9, 1 + random.below(n));
      parts.postings.push_back(folder.file("postings" + std::to_string(b)));
      const auto sink = io::create_file(parts.postings.back());
      spann::PostingWriter writer(*sink, size, 9, b);
      const auto own = [&](slot_t p, float* to) {
        const id_t id = p;
        graph->reconstruct_batch(&id, 1, to);
      };
      spann::merge({run}, b, bounds[b], bounds[b + 1], {.limit = 1000, .buffer = 100}, form, d, own,
                   writer, sorter);
      writer.finish();
      sink->commit();
      sorter.finish();
    }
    parts.ids = folder.file("ids");
    {
      const auto sink = io::create_file(parts.ids);
      spann::IdWriter writer(*sink, 9);
      spann::merge_ids(ids, {}, writer);
      writer.finish();
      sink->commit();
    }
    if (coded) {
      parts.vector_files.push_back(folder.file("vectors"));
      const auto sink = io::create_file(parts.vector_files[0]);
      spann::VectorWriter writer(*sink, d * sizeof(float), n, 9);
      writer.add(reinterpret_cast<const std::byte*>(x.data()), n);
      writer.finish();
      sink->commit();
    }
    parts.ntotal = n;
    parts.next_id = static_cast<id_t>(n);
    centroids = folder.file("centroids");
    codec = folder.file("codec");
    for (const auto& [path, index] : {std::pair(centroids, parts.centroids),
                                      std::pair(codec, std::shared_ptr<Index>(parts.codes))}) {
      const auto sink = io::create_file(path);
      save(*index, *sink);
      sink->commit();
    }
  }

  // With centroids and codec from their files.
  std::unique_ptr<IndexSPANN> open_files() const {
    SpannParts own = parts;
    own.centroids = load(*io::open_file(centroids));
    own.codes = std::dynamic_pointer_cast<IndexIVF>(load(*io::open_file(codec)));
    CHECK(own.codes);
    return std::make_unique<IndexSPANN>(own, Metric::l2, io::Backend::automatic,
                                        io::Caching::buffered);
  }

  std::unique_ptr<IndexSPANN> open(Metric metric, io::Backend backend = io::Backend::automatic,
                                   io::Caching caching = io::Caching::buffered) const {
    return std::make_unique<IndexSPANN>(parts, metric, backend, caching);
  }

  std::vector<float> x;
  SpannParts parts;
  std::string run, centroids, codec;
};

struct Answer {
  std::vector<float> distances;
  std::vector<id_t> labels;
  bool operator==(const Answer&) const = default;
};
Answer ask(const Index& index, const std::vector<float>& q, size_t k,
           const SearchParameters* params = nullptr) {
  const size_t n = q.size() / index.d;
  Answer out{std::vector<float>(n * k), std::vector<id_t>(n * k)};
  index.search(as_rows({q.data(), n, index.d}), k, out.distances.data(), out.labels.data(), params);
  return out;
}

// The vectors of the ids from 0 to n - 1.
std::vector<float> read_back(const Index& index, size_t n) {
  std::vector<id_t> ids(n);
  std::iota(ids.begin(), ids.end(), id_t{0});
  std::vector<float> out(n * index.d);
  index.reconstruct_batch(ids.data(), n, out.data());
  return out;
}

// A bit of every byte flipped, and files cut short everywhere.
void damage_is_told(Random& random) {
  for (const bool coded : {false, true}) {
    const Folder folder;
    const Made made(random, folder, 24, 4, 3, coded, Metric::l2);
    const std::vector<float> q = random_rows(random, 3, 4);
    const Answer want = ask(*made.open_files(), q, 4);
    std::vector<std::string> files = made.parts.postings;
    files.insert(files.end(), made.parts.vector_files.begin(), made.parts.vector_files.end());
    files.insert(files.end(), {made.parts.ids, made.centroids, made.codec});
    const auto holds = [&](const std::string& path) {
      const bool parts = path == made.centroids || path == made.codec;
      try {
        const auto index = parts ? made.open_files() : made.open(Metric::l2);
        CHECK(ask(*index, q, 4) == want);
        CHECK(read_back(*index, 24) == made.x);
        return true;
      } catch (const CorruptIndexError&) {
      } catch (const UnsupportedError&) {
      }
      return false;
    };
    for (const std::string& path : files) {
      const std::string whole = contents(path);
      const auto put = [&](size_t at, char byte) {
        std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
        file.seekp(static_cast<std::streamoff>(at)).put(byte);
        CHECK(file.flush().good());
      };
      for (size_t at = 0; at < whole.size(); ++at) {
        put(at, static_cast<char>(whole[at] ^ (1 << random.below(8))));
        (void)holds(path);
        put(at, whole[at]);
      }
      CHECK(contents(path) == whole);
      for (size_t end = 0; end < whole.size(); end += random.between(1, 600)) {
        write(path, whole.substr(0, end));
        CHECK(!holds(path));
        write(path, whole.substr(0, end / spann::kPage * spann::kPage));
        CHECK(!holds(path));
      }
      write(path, whole);
    }
    const std::string whole = contents(made.run);
    for (size_t at = 0; at < whole.size(); ++at) {
      std::string broken = whole;
      broken[at] = static_cast<char>(broken[at] ^ (1 << random.below(8)));
      write(made.run, broken);
      CHECK_THROWS(CorruptIndexError, spann::RunFile(made.run).verify());
      write(made.run, whole.substr(0, at));
      CHECK_THROWS(CorruptIndexError, spann::RunFile(made.run).verify());
    }
  }
}

void ways_of_reading_agree(Random& random) {
  for (const Metric metric : {Metric::l2, Metric::inner_product})
    for (const bool coded : {false, true}) {
      const Folder folder;
      const Made made(random, folder, 400, 12, 20, coded, metric);
      const std::vector<float> q = random_rows(random, 70, 12);
      const Answer want = ask(*made.open(metric), q, 5);
      for (const auto backend : {io::Backend::io_uring, io::Backend::pread})
        for (const auto caching : {io::Caching::direct, io::Caching::buffered}) {
          const auto index = made.open(metric, backend, caching);
          CHECK(ask(*index, q, 5) == want);
          index->set_cache_bytes(random.below(20000));
          for (int round = 0; round < 3; ++round) CHECK(ask(*index, q, 5) == want);
        }
    }
}

// Searches go on while vectors are added and removed; what is untouched is found all the time.
void searches_while_it_changes(Random& random) {
  const size_t n = 300, d = 8;
  for (const bool coded : {false, true}) {
    const Folder folder;
    const Made made(random, folder, n, d, 10, coded, Metric::l2);
    const auto index = made.open(Metric::l2, io::Backend::automatic, io::Caching::direct);
    index->set_cache_bytes(4000);
    SearchParametersSPANN all;
    all.nprobe = 10;
    std::atomic<bool> stop = false;
    std::mutex lock;
    std::string wrong;
    const auto note = [&](const std::string& what) {
      const std::lock_guard hold(lock);
      wrong = what;
    };
    const std::vector<float> first(made.x.begin(), made.x.begin() + 100 * d);
    std::vector<std::thread> readers;
    for (int t = 0; t < 3; ++t)
      readers.emplace_back([&, t] {
        for (size_t i = static_cast<size_t>(t); !stop; i = (i + 7) % 100) {
          const std::vector<float> q(&made.x[i * d], &made.x[i * d] + d);
          try {
            const Answer found = ask(*index, q, 1, &all);
            if (found.labels[0] != static_cast<id_t>(i))
              note(text("the nearest of vector ", i, " is ", found.labels[0], ", ",
                        found.distances[0], " away"));
            if (read_back(*index, 100) != first) note("a vector is not as it was added");
          } catch (const std::exception& e) {
            note(e.what());
          }
        }
      });
    for (int round = 0; round < 30; ++round) {
      const std::vector<float> more = random_rows(random, 5, d);
      std::vector<id_t> ids(5);
      for (id_t& id : ids) id = static_cast<id_t>(random.between(100, 400));
      index->add_with_ids(as_rows({more.data(), 5, d}), ids.data());
      index->remove_ids(SelectorBatch({static_cast<id_t>(random.between(100, 400))}));
      if (round % 10 == 9) index->remove_ids(SelectorRange(390, 400));
    }
    stop = true;
    for (std::thread& reader : readers) reader.join();
    CHECK_EQ(wrong, "");
  }
}

}  // namespace

void disk(uint64_t seed) {
  Random random(seed);
  damage_is_told(random);
  ways_of_reading_agree(random);
  searches_while_it_changes(random);
}

}  // namespace shortlist::test
