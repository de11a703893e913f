#include "index/save_transform.h"

#include <algorithm>
#include <array>
#include <shared_mutex>
#include <utility>

#include "codec/transform/itq.h"
#include "codec/transform/opq.h"
#include "codec/transform/query_aware.h"
#include "codec/transform/remap.h"
#include "index/record.h"

namespace shortlist {

using io::ContainerReader;
using io::ContainerWriter;

namespace {

void save_matrix(ContainerWriter& out, const LinearTransform& linear, const std::string& at) {
  write_array(out, at + "/A", linear.A.data(), linear.A.size());
  write_array(out, at + "/b", linear.b.data(), linear.b.size());
  const auto* pca = dynamic_cast<const PCAMatrix*>(&linear);
  if (!pca) return;
  write_array(out, at + "/mean", pca->mean.data(), pca->mean.size());
  write_array(out, at + "/eigenvalues", pca->eigenvalues.data(), pca->eigenvalues.size());
  write_array(out, at + "/PCAMat", pca->PCAMat.data(), pca->PCAMat.size());
}

void load_matrix(ContainerReader& in, LinearTransform& linear, const Record& record,
                 const std::string& at) {
  linear.have_bias = record.number<int>("have_bias", 0, 1) == 1;
  linear.A = read_array<float>(in, at + "/A");
  linear.b = read_array<float>(in, at + "/b");
  if (auto* opq = dynamic_cast<OPQMatrix*>(&linear)) {
    opq->niter = record.number<int>("niter");
    opq->niter_pq = record.number<int>("niter_pq");
    opq->niter_pq_0 = record.number<int>("niter_pq_0");
    opq->max_train_points = record.number<size_t>("max_train_points");
    if (const int nbits = record.number<int>("nbits", 0, 8))
      opq->pq = std::make_shared<ProductQuantizer>(opq->d_out, opq->M, nbits);
  }
  if (auto* itq = dynamic_cast<ITQMatrix*>(&linear)) {
    itq->max_iter = record.number<int>("max_iter");
    itq->seed = record.number<int>("seed");
  }
  auto* pca = dynamic_cast<PCAMatrix*>(&linear);
  if (!pca) return;
  pca->epsilon = record.real("epsilon");
  pca->max_points_per_d = record.number<size_t>("max_points_per_d");
  pca->balanced_bins = record.number<int>("balanced_bins");
  pca->mean = read_array<float>(in, at + "/mean");
  pca->eigenvalues = read_array<float>(in, at + "/eigenvalues");
  pca->PCAMat = read_array<float>(in, at + "/PCAMat");
  if (pca->eigen_power == 0) pca->say_orthonormal(true);
}

void load_parts(ContainerReader& in, ITQTransform& itq, const Record& record,
                const std::string& at) {
  itq.max_train_per_dim = record.number<size_t>("max_train_per_dim");
  itq.mean = read_array<float>(in, at + "/mean");
  for (const auto& [name, part] :
       {std::pair<std::string, LinearTransform*>{"/itq", itq.itq.get()},
        std::pair<std::string, LinearTransform*>{"/pca_then_itq", itq.pca_then_itq.get()}}) {
    const Record own(in, at + name);
    load_matrix(in, *part, own, at + name);
    part->set_trained(own.number<int>("is_trained", 0, 1) == 1);
  }
}

template <class Transform>
auto arrays_of(Transform& aware) {
  return std::array{std::pair{"/A", &aware.A}, std::pair{"/inverse", &aware.inverse},
                    std::pair{"/B", &aware.B}};
}

void save_fields(const QueryAwareTransform& aware, io::Fields& fields) {
  fields["objective"] = text(static_cast<int>(aware.objective));
  fields["chosen"] = text(aware.chosen);
  if (aware.residual) fields["residual"] = "1";
  for (size_t i = 0; i < aware.sizes.size(); ++i) fields[text("size", i)] = text(aware.sizes[i]);
  fields["trials"] = text(aware.trials.size());
  for (size_t i = 0; i < aware.trials.size(); ++i) {
    const auto& trial = aware.trials[i];
    fields[text("trial", i, "/exponent")] = bits_of(trial.exponent);
    fields[text("trial", i, "/fitted")] = text(trial.fitted);
    if (trial.residual) fields[text("trial", i, "/residual")] = "1";
    fields[text("trial", i, "/recall")] = bits_of(trial.recall);
    fields[text("trial", i, "/score_error")] = bits_of(trial.score_error);
  }
}

void load_fields(QueryAwareTransform& aware, const Record& record) {
  constexpr size_t kMostTrials = 1000;
  aware.objective = static_cast<Objective>(record.number<int>("objective", 0, 1));
  aware.residual = record.has("residual");
  aware.trials.resize(record.number<size_t>("trials", 0, kMostTrials));
  aware.chosen = record.number<size_t>("chosen", 0, std::max<size_t>(aware.trials.size(), 1) - 1);
  for (size_t i = 0; i < aware.sizes.size(); ++i)
    aware.sizes[i] = record.number<size_t>(text("size", i));
  for (size_t i = 0; i < aware.trials.size(); ++i) {
    auto& trial = aware.trials[i];
    trial.exponent = record.real(text("trial", i, "/exponent"));
    trial.fitted = record.number<int>(text("trial", i, "/fitted"), 0, 1) == 1;
    trial.residual = record.has(text("trial", i, "/residual"));
    trial.recall = record.real(text("trial", i, "/recall"));
    trial.score_error = record.real(text("trial", i, "/score_error"));
  }
}

std::shared_ptr<VectorTransform> of_class(const Record& record) {
  const auto& name = record.word("class");
  const auto d_in = record.number<size_t>("d_in"), d_out = record.number<size_t>("d_out");
  if (name == "LinearTransform") return std::make_shared<LinearTransform>(d_in, d_out);
  if (name == "RandomRotationMatrix") return std::make_shared<RandomRotationMatrix>(d_in, d_out);
  if (name == "ITQTransform")
    return std::make_shared<ITQTransform>(d_in, d_out, record.number<int>("do_pca", 0, 1) == 1);
  if (name == "OPQMatrix")
    return std::make_shared<OPQMatrix>(d_in, record.number<size_t>("M"), d_out);
  if (name == "PCAMatrix")
    return std::make_shared<PCAMatrix>(d_in, d_out, record.real("eigen_power"),
                                       record.number<int>("random_rotation", 0, 1) == 1);
  if (d_in != d_out)
    throw CorruptIndexError(text("a ", name, " from ", d_in, " to ", d_out, " dimensions"));
  if (name == "NormalizationTransform")
    return std::make_shared<NormalizationTransform>(d_in, record.real("norm"));
  if (name == "ITQMatrix") return std::make_shared<ITQMatrix>(d_in);
  if (name == "QueryAwareTransform") return std::make_shared<QueryAwareTransform>(d_in);
  if (name == "CenteringTransform") return std::make_shared<CenteringTransform>(d_in);
  throw CorruptIndexError(
      text("it holds a '", name, "', which this release does not know; read it with a newer one"));
}

}  // namespace

void save_transform(ContainerWriter& out, const VectorTransform& transform, const std::string& at) {
  io::Fields fields{{"class", transform.class_name()},
                    {"d_in", text(transform.d_in)},
                    {"d_out", text(transform.d_out)},
                    {"is_trained", text(transform.is_trained())}};
  const auto* linear = dynamic_cast<const LinearTransform*>(&transform);
  const auto* centering = dynamic_cast<const CenteringTransform*>(&transform);
  const auto* aware = dynamic_cast<const QueryAwareTransform*>(&transform);
  if (aware) save_fields(*aware, fields);
  if (linear) fields["have_bias"] = text(linear->have_bias);
  if (const auto* pca = dynamic_cast<const PCAMatrix*>(&transform)) {
    fields["eigen_power"] = bits_of(pca->eigen_power);
    fields["epsilon"] = bits_of(pca->epsilon);
    fields["random_rotation"] = text(pca->random_rotation);
    fields["max_points_per_d"] = text(pca->max_points_per_d);
    fields["balanced_bins"] = text(pca->balanced_bins);
  }
  if (const auto* opq = dynamic_cast<const OPQMatrix*>(&transform)) {
    fields["M"] = text(opq->M);
    fields["niter"] = text(opq->niter);
    fields["niter_pq"] = text(opq->niter_pq);
    fields["niter_pq_0"] = text(opq->niter_pq_0);
    fields["max_train_points"] = text(opq->max_train_points);
    fields["nbits"] = text(opq->pq ? opq->pq->nbits : 0);
  }
  if (const auto* itq = dynamic_cast<const ITQMatrix*>(&transform)) {
    fields["max_iter"] = text(itq->max_iter);
    fields["seed"] = text(itq->seed);
  }
  const auto* itq = dynamic_cast<const ITQTransform*>(&transform);
  if (itq) {
    fields["do_pca"] = text(itq->do_pca);
    fields["max_train_per_dim"] = text(itq->max_train_per_dim);
  }
  const auto* remap = dynamic_cast<const RemapDimensionsTransform*>(&transform);
  if (const auto* normalization = dynamic_cast<const NormalizationTransform*>(&transform))
    fields["norm"] = bits_of(normalization->norm);
  io::write_fields(out, at, fields);
  if (linear) save_matrix(out, *linear, at);
  if (itq) {
    write_array(out, at + "/mean", itq->mean.data(), itq->mean.size());
    save_transform(out, *itq->itq, at + "/itq");
    save_transform(out, *itq->pca_then_itq, at + "/pca_then_itq");
  }
  if (remap) write_array(out, at + "/map", remap->map.data(), remap->map.size());
  if (centering) write_array(out, at + "/mean", centering->mean.data(), centering->mean.size());
  if (aware)
    for (const auto& [name, values] : arrays_of(*aware))
      write_array(out, at + name, values->data(), values->size());
}

std::shared_ptr<VectorTransform> load_transform(ContainerReader& in, const std::string& at) {
  const Record record(in, at);
  if (record.word("class") == "RemapDimensionsTransform")
    return std::make_shared<RemapDimensionsTransform>(record.number<size_t>("d_in"),
                                                      record.number<size_t>("d_out"),
                                                      read_array<int32_t>(in, at + "/map"));
  auto transform = of_class(record);
  if (auto* linear = dynamic_cast<LinearTransform*>(transform.get()))
    load_matrix(in, *linear, record, at);
  if (auto* centering = dynamic_cast<CenteringTransform*>(transform.get()))
    centering->mean = read_array<float>(in, at + "/mean");
  if (auto* itq = dynamic_cast<ITQTransform*>(transform.get())) load_parts(in, *itq, record, at);
  if (auto* aware = dynamic_cast<QueryAwareTransform*>(transform.get())) {
    load_fields(*aware, record);
    for (const auto& [name, values] : arrays_of(*aware)) *values = read_array<float>(in, at + name);
  }
  transform->set_trained(record.number<int>("is_trained", 0, 1) == 1);
  return transform;
}

void save(const VectorTransform& transform, io::Sink& sink) {
  const std::shared_lock hold(transform.lock());
  ContainerWriter out(sink);
  save_transform(out, transform, "transform");
  out.finish();
}

std::shared_ptr<VectorTransform> load_transform(io::Source& source) {
  return io::reading(source, [&] {
    ContainerReader in(source);
    auto transform = load_transform(in, "transform");
    in.finish();
    return transform;
  });
}

}  // namespace shortlist
