#include "index/save_transform.h"

#include <shared_mutex>

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

std::shared_ptr<VectorTransform> of_class(const Record& record) {
  const auto& name = record.word("class");
  const auto d_in = record.number<size_t>("d_in"), d_out = record.number<size_t>("d_out");
  if (name == "LinearTransform") return std::make_shared<LinearTransform>(d_in, d_out);
  if (name == "RandomRotationMatrix") return std::make_shared<RandomRotationMatrix>(d_in, d_out);
  if (name == "PCAMatrix")
    return std::make_shared<PCAMatrix>(d_in, d_out, record.real("eigen_power"),
                                       record.number<int>("random_rotation", 0, 1) == 1);
  if (d_in != d_out)
    throw CorruptIndexError(text("a ", name, " from ", d_in, " to ", d_out, " dimensions"));
  if (name == "NormalizationTransform")
    return std::make_shared<NormalizationTransform>(d_in, record.real("norm"));
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
  if (linear) fields["have_bias"] = text(linear->have_bias);
  if (const auto* pca = dynamic_cast<const PCAMatrix*>(&transform)) {
    fields["eigen_power"] = bits_of(pca->eigen_power);
    fields["epsilon"] = bits_of(pca->epsilon);
    fields["random_rotation"] = text(pca->random_rotation);
    fields["max_points_per_d"] = text(pca->max_points_per_d);
    fields["balanced_bins"] = text(pca->balanced_bins);
  }
  if (const auto* normalization = dynamic_cast<const NormalizationTransform*>(&transform))
    fields["norm"] = bits_of(normalization->norm);
  io::write_fields(out, at, fields);
  if (linear) save_matrix(out, *linear, at);
  if (centering) write_array(out, at + "/mean", centering->mean.data(), centering->mean.size());
}

std::shared_ptr<VectorTransform> load_transform(ContainerReader& in, const std::string& at) {
  const Record record(in, at);
  auto transform = of_class(record);
  if (auto* linear = dynamic_cast<LinearTransform*>(transform.get()))
    load_matrix(in, *linear, record, at);
  if (auto* centering = dynamic_cast<CenteringTransform*>(transform.get()))
    centering->mean = read_array<float>(in, at + "/mean");
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
