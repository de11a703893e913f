#include "index/save_oddint.h"

#include <cmath>

#include "codec/oddint/network.h"

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

std::shared_ptr<OddIntCodec> load_oddint(ContainerReader& in, const Record& record,
                                         const std::string& at) {
  const int bits = record.number<int>("bits", 1, 8);
  auto codec =
      std::make_shared<OddIntCodec>(load_encoder(in, record, at, bits), bits, record.metric());
  load_trained(in, *codec, record, at);
  return codec;
}

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

}  // namespace shortlist
