#include "faiss_format/transform.h"

#include <shared_mutex>

#include "codec/transform/itq.h"
#include "codec/transform/remap.h"
#include "faiss_format/faiss_format.h"

namespace shortlist {
namespace faiss_format {
namespace {

struct Ends {
  size_t d_in, d_out;
  bool is_trained;
};

// faiss writes what any transform has last.
Ends get_ends(Input& in) {
  const auto d_in = in.get<int32_t>(), d_out = in.get<int32_t>();
  for (const int32_t d : {d_in, d_out})
    if (d < 1 || static_cast<size_t>(d) > kMaxDimension)
      corrupt(text("a transform from ", d_in, " to ", d_out, " dimensions is out of range"));
  return {static_cast<size_t>(d_in), static_cast<size_t>(d_out),
          in.get_bool("is_trained of a transform")};
}

struct StoredMatrix {
  bool have_bias;
  std::vector<float> A, b;
};

StoredMatrix get_matrix(Input& in) {
  const bool have_bias = in.get_bool("have_bias");
  auto A = in.get_vector<float>("the matrix");
  return {have_bias, std::move(A), in.get_vector<float>("the bias")};
}

void set_trained(VectorTransform& transform, bool trained) {
  try {
    transform.set_trained(trained);
  } catch (const ArgumentError& e) {
    corrupt(e.what());
  }
}

template <class T>
std::shared_ptr<T> with_matrix(std::shared_ptr<T> linear, StoredMatrix stored, const Ends& ends) {
  linear->have_bias = stored.have_bias;
  linear->A = std::move(stored.A);
  linear->b = std::move(stored.b);
  set_trained(*linear, ends.is_trained);
  return linear;
}

std::shared_ptr<VectorTransform> get_pca(Input& in, uint32_t name) {
  const auto eigen_power = in.get<float>();
  const auto epsilon = name == fourcc("Pcam") ? in.get<float>() : 0.f;
  const bool random_rotation = in.get_bool("random_rotation");
  const auto balanced_bins = name == fourcc("PCAm") ? 0 : in.get<int32_t>();
  auto mean = in.get_vector<float>("the mean"), values = in.get_vector<float>("the eigenvalues"),
       directions = in.get_vector<float>("the principal components");
  StoredMatrix stored = get_matrix(in);
  const Ends ends = get_ends(in);
  auto pca = std::make_shared<PCAMatrix>(ends.d_in, ends.d_out, eigen_power, random_rotation);
  pca->epsilon = epsilon;
  pca->balanced_bins = balanced_bins;
  pca->mean = std::move(mean);
  pca->eigenvalues = std::move(values);
  pca->PCAMat = std::move(directions);
  if (eigen_power == 0) pca->say_orthonormal(true);
  return with_matrix(std::move(pca), std::move(stored), ends);
}

// LTra, OPQ's too, rrot and Viqm.
std::shared_ptr<LinearTransform> get_linear(Input& in, uint32_t name) {
  int32_t max_iter = 0, seed = 0;
  if (name == fourcc("Viqm")) {
    max_iter = in.get<int32_t>();
    seed = in.get<int32_t>();
  }
  StoredMatrix stored = get_matrix(in);
  const Ends ends = get_ends(in);
  std::shared_ptr<LinearTransform> linear;
  if (name == fourcc("Viqm")) {
    if (ends.d_in != ends.d_out) corrupt("an ITQMatrix changes the number of dimensions");
    auto itq = std::make_shared<ITQMatrix>(ends.d_in);
    itq->max_iter = max_iter;
    itq->seed = seed;
    linear = itq;
  } else if (name == fourcc("rrot")) {
    linear = std::make_shared<RandomRotationMatrix>(ends.d_in, ends.d_out);
  } else {
    linear = std::make_shared<LinearTransform>(ends.d_in, ends.d_out);
  }
  return with_matrix(std::move(linear), std::move(stored), ends);
}

std::shared_ptr<VectorTransform> get_itq(Input& in) {
  auto mean = in.get_vector<float>("the mean");
  const bool do_pca = in.get_bool("do_pca");
  const auto part = [&](const char* wanted) {
    if (in.get<uint32_t>() != fourcc(wanted)) corrupt("an ITQTransform of other parts");
    return get_linear(in, fourcc(wanted));
  };
  const auto rotation = part("Viqm"), all = part("LTra");
  const Ends ends = get_ends(in);
  if (rotation->d_in != ends.d_out || all->d_in != ends.d_in || all->d_out != ends.d_out ||
      ends.d_out > ends.d_in || (!do_pca && ends.d_in != ends.d_out))
    corrupt("the parts of an ITQTransform do not fit together");
  auto itq = std::make_shared<ITQTransform>(ends.d_in, ends.d_out, do_pca);
  itq->mean = std::move(mean);
  itq->itq->max_iter = dynamic_cast<const ITQMatrix&>(*rotation).max_iter;
  itq->itq->seed = dynamic_cast<const ITQMatrix&>(*rotation).seed;
  itq->itq->A = std::move(rotation->A);
  itq->pca_then_itq->A = std::move(all->A);
  if (ends.is_trained) {
    set_trained(*itq->itq, true);
    set_trained(*itq->pca_then_itq, true);
  }
  set_trained(*itq, ends.is_trained);
  return itq;
}

std::shared_ptr<VectorTransform> get_remap(Input& in) {
  auto map = in.get_vector<int32_t>("the map");
  const Ends ends = get_ends(in);
  try {
    return std::make_shared<RemapDimensionsTransform>(ends.d_in, ends.d_out, std::move(map));
  } catch (const ArgumentError& e) {
    corrupt(e.what());
  }
}

std::shared_ptr<VectorTransform> get_centering(Input& in) {
  auto mean = in.get_vector<float>("the mean");
  const Ends ends = get_ends(in);
  if (ends.d_in != ends.d_out) corrupt("a CenteringTransform changes the number of dimensions");
  auto centering = std::make_shared<CenteringTransform>(ends.d_in);
  centering->mean = std::move(mean);
  set_trained(*centering, ends.is_trained);
  return centering;
}

std::shared_ptr<VectorTransform> get_normalization(Input& in) {
  const auto norm = in.get<float>();
  const Ends ends = get_ends(in);
  if (ends.d_in != ends.d_out) corrupt("a NormalizationTransform changes the dimensions");
  return std::make_shared<NormalizationTransform>(ends.d_in, norm);
}

}  // namespace

std::shared_ptr<VectorTransform> read_transform(Input in) {
  const auto name = in.get<uint32_t>();
  if (name == fourcc("LTra") || name == fourcc("rrot") || name == fourcc("Viqm"))
    return get_linear(in, name);
  if (name == fourcc("Viqt")) return get_itq(in);
  if (name == fourcc("RmDT")) return get_remap(in);
  if (name == fourcc("Pcam") || name == fourcc("PcAm") || name == fourcc("PCAm"))
    return get_pca(in, name);
  if (name == fourcc("VCnt")) return get_centering(in);
  if (name == fourcc("VNrm")) return get_normalization(in);
  if (const auto of = class_of(name); !of.empty())
    throw UnsupportedError(text("it holds a faiss ", of, " ('", letters(name),
                                "'), which is not supported yet; read it with faiss"));
  corrupt("a transform of no known kind");
}

void write_transform(const VectorTransform& transform, Output out) {
  if (const auto* linear = dynamic_cast<const LinearTransform*>(&transform)) {
    if (const auto* pca = dynamic_cast<const PCAMatrix*>(linear)) {
      out.put(fourcc("Pcam"));
      out.put(pca->eigen_power);
      out.put(pca->epsilon);
      out.put(static_cast<uint8_t>(pca->random_rotation));
      out.put(int32_t{pca->balanced_bins});
      out.array(pca->mean.data(), pca->mean.size());
      out.array(pca->eigenvalues.data(), pca->eigenvalues.size());
      out.array(pca->PCAMat.data(), pca->PCAMat.size());
    } else if (const auto* itq = dynamic_cast<const ITQMatrix*>(linear)) {
      out.put(fourcc("Viqm"));
      out.put(int32_t{itq->max_iter});
      out.put(int32_t{itq->seed});
    } else {
      out.put(fourcc(dynamic_cast<const RandomRotationMatrix*>(linear) ? "rrot" : "LTra"));
    }
    out.put(static_cast<uint8_t>(linear->have_bias));
    out.array(linear->A.data(), linear->A.size());
    out.array(linear->b.data(), linear->b.size());
  } else if (const auto* itq = dynamic_cast<const ITQTransform*>(&transform)) {
    out.put(fourcc("Viqt"));
    out.array(itq->mean.data(), itq->mean.size());
    out.put(static_cast<uint8_t>(itq->do_pca));
    write_transform(*itq->itq, out);
    write_transform(*itq->pca_then_itq, out);
  } else if (const auto* remap = dynamic_cast<const RemapDimensionsTransform*>(&transform)) {
    out.put(fourcc("RmDT"));
    out.array(remap->map.data(), remap->map.size());
  } else if (const auto* centering = dynamic_cast<const CenteringTransform*>(&transform)) {
    out.put(fourcc("VCnt"));
    out.array(centering->mean.data(), centering->mean.size());
  } else if (const auto* normalization = dynamic_cast<const NormalizationTransform*>(&transform)) {
    out.put(fourcc("VNrm"));
    out.put(float{normalization->norm});
  } else {
    throw UnsupportedError(
        text("a ", transform.class_name(),
             " has no form in faiss's files, whose transforms treat queries as vectors; use "
             "index.save(path), or train an index without it"));
  }
  out.put(static_cast<int32_t>(transform.d_in));
  out.put(static_cast<int32_t>(transform.d_out));
  out.put(static_cast<uint8_t>(transform.is_trained()));
}

}  // namespace faiss_format

void write_faiss(const VectorTransform& transform, io::Sink& sink) {
  const std::shared_lock hold(transform.lock());
  faiss_format::write_transform(transform, faiss_format::Output(sink));
}

std::shared_ptr<VectorTransform> read_faiss_transform(io::Source& source) {
  return io::reading(source,
                     [&] { return faiss_format::read_transform(faiss_format::Input(source)); });
}

}  // namespace shortlist
