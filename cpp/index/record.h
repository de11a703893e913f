// What the native container says of one index.
#pragma once

#include <bit>
#include <charconv>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/types.h"
#include "io/container.h"

namespace shortlist {

// The fields of one index, checked as they are read.
class Record {
 public:
  Record(io::ContainerReader& in, const std::string& at)
      : at_(at), fields_(io::read_fields(in, at)) {}

  bool has(const std::string& key) const { return fields_.count(key) > 0; }
  const std::string& word(const std::string& key) const {
    const auto it = fields_.find(key);
    if (it == fields_.end()) throw CorruptIndexError(text("'", at_, "' has no field '", key, "'"));
    return it->second;
  }
  template <class T>
  T number(const std::string& key, T least = std::numeric_limits<T>::min(),
           T most = std::numeric_limits<T>::max()) const {
    const std::string& digits = word(key);
    T value{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || value < least ||
        value > most)
      throw CorruptIndexError(text("'", at_, "' has ", key, " = '", digits, "', which cannot be"));
    return value;
  }
  float real(const std::string& key) const { return std::bit_cast<float>(number<uint32_t>(key)); }
  Metric metric() const { return static_cast<Metric>(number<int>("metric", 0, 1)); }

 private:
  const std::string at_;
  const io::Fields fields_;
};

template <class T>
void write_array(io::ContainerWriter& out, const std::string& name, const T* data, size_t n) {
  out.section(name, data, n * sizeof(T));
}
template <class T>
std::vector<T> read_array(io::ContainerReader& in, const std::string& name) {
  const uint64_t length = in.open(name);
  if (length % sizeof(T))
    throw CorruptIndexError(
        text("section '", name, "' has ", length, " bytes, no multiple of ", sizeof(T)));
  auto values = io::read_vector<T>(in, length / sizeof(T));
  in.close();
  return values;
}

// A float in a field.
inline std::string bits_of(float x) { return text(std::bit_cast<uint32_t>(x)); }

}  // namespace shortlist
