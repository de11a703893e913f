// The numbers and arrays that faiss's files are made of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/stream.h"

namespace shortlist::faiss_format {

[[noreturn]] inline void corrupt(const std::string& what) {
  throw CorruptIndexError(
      text("the faiss file is damaged: ", what, "; copy it again or rebuild the index"));
}

inline std::string letters(uint32_t fourcc) {
  std::string s;
  for (int shift = 0; shift < 32; shift += 8) s += static_cast<char>(fourcc >> shift & 255);
  return s;
}

class Input {
 public:
  explicit Input(io::Source& in) : in_(in) {}

  template <class T>
  T get() {
    T value;
    in_.read(&value, sizeof value);
    return value;
  }
  bool get_bool(const char* what) {
    const auto value = get<uint8_t>();
    if (value > 1) corrupt(text(what, " is ", int{value}, ", neither 0 nor 1"));
    return value;
  }
  // A length is checked before anything is allocated for it.
  size_t get_count(size_t unit, const char* what) {
    const auto n = get<uint64_t>();
    if (n > in_.remaining() / unit)
      corrupt(text(what, " claims ", n, " items of ", unit, " bytes, more than the data has left"));
    return n;
  }
  template <class T>
  std::vector<T> get_vector(const char* what) {
    return io::read_vector<T>(in_, get_count(sizeof(T), what));
  }
  io::Source& source() { return in_; }

 protected:
  io::Source& in_;
};

class Output {
 public:
  explicit Output(io::Sink& sink) : sink_(sink) {}

  template <class T>
  void put(const T& value) {
    sink_.write(&value, sizeof(T));
  }
  template <class T>
  void array(const T* data, size_t n) {
    put(uint64_t{n});
    sink_.write(data, n * sizeof(T));
  }
  io::Sink& sink() { return sink_; }

 protected:
  io::Sink& sink_;
};

}  // namespace shortlist::faiss_format
