// Exceptions of the core. A message names the value, what was expected, and the fix;
// bind/errors.cpp maps each type to a Python class.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace shortlist {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct ArgumentError : Error {  // a value no call could accept
  using Error::Error;
};
struct DimensionError : ArgumentError {  // the wrong number of columns
  using ArgumentError::ArgumentError;
};
struct IdError : ArgumentError {  // an id or position that is not there
  using ArgumentError::ArgumentError;
};
struct NotTrainedError : Error {
  using Error::Error;
};
struct UnsupportedError : Error {  // a valid call that this class does not offer
  using Error::Error;
};
struct BusyError : Error {  // a write from inside another use of the same index
  using Error::Error;
};
struct CorruptIndexError : Error {  // damaged or foreign bytes
  using Error::Error;
};
struct IoError : Error {
  IoError(int error_number, std::string path, const std::string& what)
      : Error(what), error_number(error_number), path(std::move(path)) {}
  int error_number;
  std::string path;
};

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace shortlist
