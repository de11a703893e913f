// Errors of system calls, told with the path and what to do about it.
#pragma once

#include <cerrno>
#include <string>

#include "base/error.h"

namespace shortlist::io {

// Throws IoError: "cannot <verb> '<path>': <the system's words>; <remedy>".
[[noreturn]] void fail(const char* verb, const std::string& path, int error);

template <class Call>
auto retry(const Call& call) {  // signals interrupt system calls; that is no failure
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

}  // namespace shortlist::io
