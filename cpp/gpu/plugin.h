// The CUDA plugin: a file of its own, loaded when somebody asks for a GPU.
#pragma once

#include <cuda/plugin.h>

#include <string>

namespace shortlist::gpu {

class Plugin {
 public:
  // Loads the file, which stays loaded. Throws UnsupportedError where it is no plugin of this ABI.
  explicit Plugin(std::string path);

  const ShortlistCuda& table() const { return *table_; }
  const std::string& path() const { return path_; }
  // Calls a function of the table. Throws UnsupportedError without a GPU, ArgumentError for what
  // the plugin refuses, Error for what fails.
  template <class F, class... Args>
  void call(F function, Args... args) const {
    char why[512] = "";
    check(function(args..., why, sizeof why), why);
  }
  int devices() const;  // at least one; throws as call

 private:
  void check(int result, const char* why) const;

  std::string path_;
  const ShortlistCuda* table_ = nullptr;
};

}  // namespace shortlist::gpu
