// Bytes in and out: files, memory, callbacks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"

namespace shortlist::io {

inline constexpr size_t kBufferBytes = size_t{1} << 20;

class Sink {
 public:
  virtual ~Sink() = default;
  virtual void write(const void* data, size_t n) = 0;  // all of it, or throws IoError
};

class Source {
 public:
  virtual ~Source() = default;
  // Exactly n bytes, or throws CorruptIndexError (the source ended early) or IoError.
  virtual void read(void* data, size_t n) = 0;
  // Bytes left, or SIZE_MAX where that is not known (callbacks, pipes). Readers check lengths
  // against it before they allocate.
  virtual size_t remaining() const = 0;
  virtual std::string name() const = 0;
};

// A file that appears whole or not at all: written under a temporary name in the same folder;
// commit() syncs it, renames it and syncs the folder. Without commit() the temporary is removed.
// Devices and pipes are written in place.
class FileSink : public Sink {
 public:
  virtual void commit() = 0;
};
std::unique_ptr<FileSink> create_file(const std::string& path);
std::unique_ptr<Source> open_file(const std::string& path);  // a directory is refused

class MemorySink final : public Sink {
 public:
  void write(const void* data, size_t n) override;
  std::vector<std::byte> bytes;
};
std::unique_ptr<Source> memory_source(const void* data, size_t n);  // borrowed

// `write(data, n)` returns how many bytes it took; `read(data, n)` how many it gave (0: the end).
// Neither is buffered, so a stream can go on with other data behind the index.
std::unique_ptr<Sink> callback_sink(std::function<size_t(const void*, size_t)> write);
std::unique_ptr<Source> callback_source(std::function<size_t(void*, size_t)> read);

[[noreturn]] void throw_ended_early(size_t missing);

// Reads n items of `unit` bytes to where grow(items) makes room. A length that cannot be checked
// against remaining() is believed piece by piece, so that a lie costs one piece of memory.
template <class Reader, class Grow>
void read_growing(Reader& from, size_t n, size_t unit, const Grow& grow) {
  constexpr size_t kPiece = size_t{16} << 20;
  const size_t left = from.remaining();
  if (n > left / unit) throw_ended_early(left == SIZE_MAX ? n : n * unit - left);
  const size_t piece = left == SIZE_MAX ? (kPiece + unit - 1) / unit : n;
  for (size_t at = 0; at < n;) {
    const size_t take = n - at < piece ? n - at : piece;
    from.read(grow(take), take * unit);
    at += take;
  }
}

template <class T, class Reader>
std::vector<T> read_vector(Reader& from, size_t n) {
  std::vector<T> out;
  read_growing(from, n, sizeof(T), [&](size_t more) {
    out.resize(out.size() + more);
    return out.data() + out.size() - more;
  });
  return out;
}

// Runs a reader of saved indexes; what it finds wrong is reported with the source's name.
template <class F>
auto reading(const Source& source, const F& body) {
  try {
    return body();
  } catch (const CorruptIndexError& e) {
    throw CorruptIndexError(text(source.name(), ": ", e.what()));
  } catch (const ArgumentError& e) {  // a stored value that no constructor accepts
    throw CorruptIndexError(text(source.name(), " is damaged: ", e.what()));
  } catch (const UnsupportedError& e) {
    throw UnsupportedError(text(source.name(), ": ", e.what()));
  }
}

}  // namespace shortlist::io
