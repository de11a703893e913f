#include "io/stream.h"

#include <cerrno>
#include <cstring>

namespace shortlist::io {
namespace {

class MemorySource final : public Source {
 public:
  MemorySource(const void* data, size_t n) : at_(static_cast<const std::byte*>(data)), left_(n) {}
  void read(void* data, size_t n) override {
    if (n > left_) throw_ended_early(n - left_);
    if (n) std::memcpy(data, at_, n);
    at_ += n;
    left_ -= n;
  }
  size_t remaining() const override { return left_; }
  std::string name() const override { return "the given bytes"; }

 private:
  const std::byte* at_;
  size_t left_;
};

class CallbackSink final : public Sink {
 public:
  explicit CallbackSink(std::function<size_t(const void*, size_t)> write)
      : write_(std::move(write)) {}
  void write(const void* data, size_t n) override {
    const auto* at = static_cast<const std::byte*>(data);
    while (n) {
      const size_t took = write_(at, n);
      if (took == 0 || took > n)
        throw IoError(EIO, "",
                      text("the write callback says it took ", took, " of ", n,
                           " bytes; it must take at least 1 and return how many it took"));
      at += took;
      n -= took;
    }
  }

 private:
  std::function<size_t(const void*, size_t)> write_;
};

class CallbackSource final : public Source {
 public:
  explicit CallbackSource(std::function<size_t(void*, size_t)> read) : read_(std::move(read)) {}
  void read(void* data, size_t n) override {
    auto* at = static_cast<std::byte*>(data);
    while (n) {
      const size_t gave = read_(at, n);
      if (gave == 0) throw_ended_early(n);
      if (gave > n)
        throw IoError(EIO, "",
                      text("the read callback returned ", gave, " bytes where ", n,
                           " were asked; it must return at most what is asked"));
      at += gave;
      n -= gave;
    }
  }
  size_t remaining() const override { return SIZE_MAX; }
  std::string name() const override { return "the data read"; }

 private:
  std::function<size_t(void*, size_t)> read_;
};

}  // namespace

void throw_ended_early(size_t missing) {
  throw CorruptIndexError(
      text("the data ends at least ", missing,
           " bytes too early; it is truncated or damaged: copy or save it again"));
}

void MemorySink::write(const void* data, size_t n) {
  const auto* from = static_cast<const std::byte*>(data);
  bytes.insert(bytes.end(), from, from + n);
}

std::unique_ptr<Source> memory_source(const void* data, size_t n) {
  return std::make_unique<MemorySource>(data, n);
}
std::unique_ptr<Sink> callback_sink(std::function<size_t(const void*, size_t)> write) {
  return std::make_unique<CallbackSink>(std::move(write));
}
std::unique_ptr<Source> callback_source(std::function<size_t(void*, size_t)> read) {
  return std::make_unique<CallbackSource>(std::move(read));
}

}  // namespace shortlist::io
