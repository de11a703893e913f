#include "index/save_codecs.h"

#include <cmath>

#include "base/error.h"
#include "codec/oddint/network.h"
#include "kernels/floats.h"

namespace shortlist {

using io::ContainerReader;
using io::ContainerWriter;
using io::Fields;

namespace {

void save_network(ContainerWriter& out, const NetworkEncoder& network, const std::string& at) {
  const auto floats = [&](const std::string& name, const std::vector<float>& x) {
    write_array(out, at + "/" + name, x.data(), x.size());
  };
  floats("query", network.turns());
  for (size_t i = 0; i < network.maps().size(); ++i) {
    const NetworkEncoder::Map& map = network.maps()[i];
    const std::string name = text(i);
    floats(name + ".skip", map.skip);
    floats(name + ".bias", map.bias);
    floats(name + ".hidden", map.inner);
    floats(name + ".hidden_bias", map.inner_bias);
    floats(name + ".out", map.outer);
  }
}

std::shared_ptr<const OddIntEncoder> load_encoder(ContainerReader& in, const Record& record,
                                                  const std::string& at, int bits) {
  const auto d = record.number<size_t>("d", 1, kMaxDimension);
  const auto m = record.number<size_t>("code_dim", 1, kMaxDimension);
  const std::string& name = record.word("encoder");
  if (name == "rabitq") {
    if (m % 64 || m < d) throw CorruptIndexError(text("code_dim = ", m, ", which cannot be"));
    return std::make_shared<RabitqEncoder>(d, m);
  }
  if (name != "trained")
    throw CorruptIndexError(
        text("the encoder '", name, "' is not known; read it with a newer release"));
  const auto floats = [&](const std::string& part) {
    return read_array<float>(in, at + "/encoder/" + part);
  };
  auto turns = floats("query");
  std::vector<NetworkEncoder::Map> maps;
  for (int i = 0; i < 2 * bits - 1; ++i) {
    const std::string part = text(i);
    auto skip = floats(part + ".skip"), bias = floats(part + ".bias");
    auto inner = floats(part + ".hidden"), inner_bias = floats(part + ".hidden_bias");
    maps.push_back({std::move(skip), std::move(bias), std::move(inner), std::move(inner_bias),
                    floats(part + ".out")});
  }
  return std::make_shared<NetworkEncoder>(d, m, bits, record.number<int>("sweeps"),
                                          std::move(turns), std::move(maps));
}

}  // namespace

void save_lsh(ContainerWriter& out, const LshCodec& lsh, const std::string& at, Fields& fields) {
  fields["nbits"] = text(lsh.nbits);
  fields["rotate_data"] = text(lsh.rotates);
  fields["train_thresholds"] = text(lsh.trains);
  io::write_fields(out, at, fields);
  write_array(out, at + "/rotation", lsh.rotation.data(), lsh.rotation.size());
  write_array(out, at + "/bias", lsh.bias.data(), lsh.bias.size());
  write_array(out, at + "/thresholds", lsh.thresholds.data(), lsh.thresholds.size());
}

void save_oddint(ContainerWriter& out, const OddIntCodec& codec, const std::string& at,
                 Fields& fields) {
  fields["bits"] = text(codec.bits);
  fields["code_dim"] = text(codec.m());
  fields["encoder"] = codec.encoder->name();
  fields["slack"] = bits_of(codec.slack);
  if (std::isfinite(codec.error)) fields["error"] = bits_of(codec.error);
  const auto* network = dynamic_cast<const NetworkEncoder*>(codec.encoder.get());
  if (network) fields["sweeps"] = text(network->sweeps);
  io::write_fields(out, at, fields);
  if (network) save_network(out, *network, at + "/encoder");
  write_array(out, at + "/centre", codec.centre.data(), codec.centre.size());
  write_array(out, at + "/query_centre", codec.query_centre.data(), codec.query_centre.size());
}

void save_scalar(ContainerWriter& out, const ScalarQuantizer& sq, const std::string& at,
                 Fields& fields) {
  fields["qtype"] = text(static_cast<int>(sq.qtype));
  fields["rangestat"] = text(static_cast<int>(sq.rangestat));
  fields["rangestat_arg"] = bits_of(sq.rangestat_arg);
  io::write_fields(out, at, fields);
  write_array(out, at + "/trained", sq.trained.data(), sq.trained.size());
}

void save_product(ContainerWriter& out, const ProductQuantizer& pq, const std::string& at,
                  Fields& fields) {
  fields["M"] = text(pq.M);
  fields["nbits"] = text(pq.nbits);
  if (pq.offset) fields["offset"] = "1";
  if (const float threshold = pq.anisotropic_threshold; threshold > 0)
    fields["anisotropic_threshold"] = bits_of(threshold);
  io::write_fields(out, at, fields);
  write_array(out, at + "/centroids", pq.centroids().data(), pq.centroids().size());
}

DType dtype_named(const std::string& name) {
  for (const DType t : {DType::f32, DType::f16, DType::u8, DType::i8})
    if (name == name_of(t)) return t;
  throw CorruptIndexError(
      text("the dtype '", name, "' is not known; read it with a newer release"));
}

std::shared_ptr<ScalarQuantizer> load_scalar(ContainerReader& in, size_t d, const Record& record,
                                             const std::string& at) {
  auto sq =
      std::make_shared<ScalarQuantizer>(d, static_cast<QuantizerType>(record.number<int>("qtype")));
  sq->rangestat = static_cast<RangeStat>(record.number<int>("rangestat", 0, 3));
  sq->rangestat_arg = record.real("rangestat_arg");
  sq->trained = read_array<float>(in, at + "/trained");
  return sq;
}

std::shared_ptr<LshCodec> load_lsh(ContainerReader& in, size_t d, const Record& record,
                                   const std::string& at) {
  auto lsh = std::make_shared<LshCodec>(d, record.number<size_t>("nbits"),
                                        record.number<int>("rotate_data", 0, 1) == 1,
                                        record.number<int>("train_thresholds", 0, 1) == 1);
  lsh->rotation = read_array<float>(in, at + "/rotation");
  lsh->bias = read_array<float>(in, at + "/bias");
  lsh->thresholds = read_array<float>(in, at + "/thresholds");
  if (!lsh->sizes_fit())
    throw CorruptIndexError(text("'", at, "' has ", lsh->rotation.size(), " values of a rotation, ",
                                 lsh->bias.size(), " of a bias and ", lsh->thresholds.size(),
                                 " thresholds, which do not fit d = ", d, " and ", lsh->nbits,
                                 " bits"));
  return lsh;
}

namespace {

// What training found of an odd-integer codec.
void load_trained(ContainerReader& in, OddIntCodec& codec, const Record& record,
                  const std::string& at) {
  const auto measured = [&](const char* name) {
    const float x = record.real(name);
    if (!(x >= 0)) throw CorruptIndexError(text(name, " = ", x, ", which cannot be"));
    return x;
  };
  codec.slack = measured("slack");
  if (record.has("error")) codec.error = measured("error");
  auto centre = read_array<float>(in, at + "/centre"),
       query_centre = read_array<float>(in, at + "/query_centre");
  if (!centre.empty() || !query_centre.empty())
    codec.set_centres(std::move(centre), std::move(query_centre));
}

}  // namespace

std::shared_ptr<OddIntCodec> load_oddint(ContainerReader& in, const Record& record,
                                         const std::string& at) {
  const int bits = record.number<int>("bits", 1, 8);
  auto codec =
      std::make_shared<OddIntCodec>(load_encoder(in, record, at, bits), bits, record.metric());
  if (record.has("symmetric")) codec->symmetric = record.number<int>("symmetric", 0, 1) == 1;
  load_trained(in, *codec, record, at);
  return codec;
}

std::shared_ptr<RaBitQCodec> load_rabitq(ContainerReader& in, const Record& record,
                                         const std::string& at) {
  auto codec = std::make_shared<RaBitQCodec>(record.number<size_t>("d", 1, kMaxDimension),
                                             record.number<int>("bits", 1, 8), record.metric());
  load_trained(in, *codec, record, at);
  return codec;
}

std::shared_ptr<ProductQuantizer> load_product(ContainerReader& in, size_t d, const Record& record,
                                               const std::string& at) {
  const bool offset = record.has("offset") && record.number<int>("offset", 0, 1) == 1;
  auto pq = std::make_shared<ProductQuantizer>(d, record.number<size_t>("M"),
                                               record.number<int>("nbits"), offset);
  if (record.has("anisotropic_threshold"))
    pq->set_anisotropic_threshold(record.real("anisotropic_threshold"));
  auto centroids = read_array<float>(in, at + "/centroids");
  if (!centroids.empty() && (centroids.size() != (d - offset) * pq->ksub() ||
                             !finite(centroids.data(), centroids.size())))
    throw CorruptIndexError(text("'", at, "' has ", centroids.size(),
                                 " values of centroids, which do not fit ", pq->name(), " of ", d,
                                 " dimensions"));
  pq->set_centroids(std::move(centroids));
  return pq;
}

}  // namespace shortlist
