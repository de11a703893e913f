// The CUDA plugin: a file of its own, loaded when somebody asks for a GPU.
#pragma once

#include <cuda/plugin.h>

#include <string>

namespace shortlist::gpu {

// Calls a function of a table. Throws UnsupportedError without a GPU, ArgumentError for what is
// refused, Error for what fails.
void check(int result, const char* why);
template <class F, class... Args>
void call_table(F function, Args... args) {
  char why[512] = "";
  check(function(args..., why, sizeof why), why);
}

class Plugin {
 public:
  // Loads the file, which stays loaded. Throws UnsupportedError where it is no plugin of this ABI.
  explicit Plugin(std::string path);

  const ShortlistCuda& table() const { return *table_; }
  const std::string& path() const { return path_; }
  int devices() const;  // at least one; throws as call_table

 private:
  std::string path_;
  const ShortlistCuda* table_ = nullptr;
};

}  // namespace shortlist::gpu
