// Files: buffered, atomic, and every error told with the path and what to do about it.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/threads.h"
#include "io/fail.h"
#include "io/stream.h"
#include "io/syscalls.h"

namespace shortlist::io {
namespace {

constexpr size_t kMostPerCall = size_t{16} << 20;  // so that an interrupt is seen soon

class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) system_calls.close(fd_);
  }
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  // EINTR from close leaves nothing to retry: the descriptor is gone.
  int close() { return system_calls.close(std::exchange(fd_, -1)); }

 private:
  int fd_ = -1;
};

File open_raw(const char* path, int flags, mode_t mode = 0) {
  return File(retry([&] { return system_calls.open(path, flags | O_CLOEXEC, mode); }));
}

void write_all(int fd, const std::byte* data, size_t n, const std::string& path) {
  while (n) {
    const size_t ask = std::min(n, kMostPerCall);
    const ssize_t done = retry([&] { return system_calls.write(fd, data, ask); });
    if (done < 0) fail("write", path, errno);
    if (done == 0) fail("write", path, ENOSPC);
    data += done;
    n -= static_cast<size_t>(done);
    poll_interrupt();
  }
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

// Renaming over a symbolic link would replace the link; what it points to is meant.
std::string resolve(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) return path;
  if (char* real = ::realpath(path.c_str(), nullptr)) {
    std::string target(real);
    ::free(real);
    return target;
  }
  fail("write", path, errno);
}

class AtomicFile final : public FileSink {
 public:
  explicit AtomicFile(const std::string& path) : shown_(path), path_(resolve(path)) {
    buffer_.reserve(kBufferBytes);
    if (path.empty()) fail("write", path, ENOENT);
    struct stat info;
    const bool exists = ::stat(path_.c_str(), &info) == 0;
    if (!exists && errno != ENOENT) fail("write", shown_, errno);
    if (exists && S_ISDIR(info.st_mode)) fail("write", shown_, EISDIR);
    if (exists && !S_ISREG(info.st_mode)) {
      file_ = open_raw(path_.c_str(), O_WRONLY);
      if (!file_.is_open()) fail("write", shown_, errno);
    } else {
      if (exists && ::faccessat(AT_FDCWD, path_.c_str(), W_OK, AT_EACCESS) != 0)
        fail("write", shown_, errno);
      open_temporary();
      if (exists) ::fchmod(file_.fd(), info.st_mode & 07777);  // a replaced file keeps its mode
    }
  }

  ~AtomicFile() override {
    if (!temporary_.empty()) {
      if (file_.is_open()) file_.close();
      // A failure cannot be told from here; one that passes is met by a second try.
      if (system_calls.unlink(temporary_.c_str()) != 0) system_calls.unlink(temporary_.c_str());
    }
  }

  void write(const void* data, size_t n) override {
    const auto* from = static_cast<const std::byte*>(data);
    if (buffer_.size() + n > kBufferBytes) flush();
    if (n >= kBufferBytes)
      write_all(file_.fd(), from, n, shown_);
    else
      buffer_.insert(buffer_.end(), from, from + n);
  }

  void commit() override {
    flush();
    if (temporary_.empty()) {
      if (file_.close() != 0 && errno != EINTR) fail("write", shown_, errno);
      return;
    }
    if (retry([&] { return system_calls.fsync(file_.fd()); }) != 0) fail("write", shown_, errno);
    if (file_.close() != 0 && errno != EINTR) fail("write", shown_, errno);
    // A folder that may be written but not read cannot be synced; the file is still whole.
    const File folder = open_raw(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY);
    if (!folder.is_open() && errno != EACCES) fail("write", shown_, errno);
    if (system_calls.rename(temporary_.c_str(), path_.c_str()) != 0) fail("write", shown_, errno);
    temporary_.clear();
    // Some file systems cannot sync a folder and say EINVAL.
    if (folder.is_open() && retry([&] { return system_calls.fsync(folder.fd()); }) != 0 &&
        errno != EINVAL)
      fail("make durable the name of", shown_, errno);
  }

 private:
  // The name is free of `path`'s own, which may be as long as names can be.
  void open_temporary() {
    static std::atomic<unsigned> counter{0};
    for (;;) {
      temporary_ = text(folder_of(path_), "/.shortlist-", ::getpid(), "-", counter++, ".tmp");
      file_ = open_raw(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0666);
      if (file_.is_open()) return;
      if (errno != EEXIST) {  // a process that died may have had our number
        temporary_.clear();
        fail("write", shown_, errno);
      }
    }
  }
  void flush() {
    write_all(file_.fd(), buffer_.data(), buffer_.size(), shown_);
    buffer_.clear();
  }

  const std::string shown_, path_;
  std::string temporary_;  // empty: renamed, or written in place
  File file_;
  std::vector<std::byte> buffer_;
};

class FileSource final : public Source {
 public:
  explicit FileSource(const std::string& path) : path_(path) {
    file_ = open_raw(path.c_str(), O_RDONLY);
    if (!file_.is_open()) fail("read", path_, errno);
    struct stat info;
    if (::fstat(file_.fd(), &info) != 0) fail("read", path_, errno);
    if (S_ISDIR(info.st_mode)) fail("read", path_, EISDIR);
    if (S_ISREG(info.st_mode)) remaining_ = static_cast<size_t>(info.st_size);
  }

  void read(void* data, size_t n) override {
    if (n > remaining_) throw_ended_early(n - remaining_);
    auto* to = static_cast<std::byte*>(data);
    for (size_t left = n; left;) {
      if (begin_ == end_ && left >= kBufferBytes) {
        const size_t got = read_some(to, left);
        to += got;
        left -= got;
        continue;
      }
      if (begin_ == end_) {
        buffer_.resize(std::min(kBufferBytes, remaining_));
        begin_ = 0;
        end_ = read_some(buffer_.data(), buffer_.size(), left);
      }
      const size_t take = std::min(left, end_ - begin_);
      std::memcpy(to, buffer_.data() + begin_, take);
      begin_ += take;
      to += take;
      left -= take;
    }
    if (remaining_ != SIZE_MAX) remaining_ -= n;
  }
  size_t remaining() const override { return remaining_; }
  std::string name() const override { return text("'", path_, "'"); }

 private:
  size_t read_some(std::byte* to, size_t n, size_t missing = 0) {
    const size_t ask = std::min(n, kMostPerCall);
    const ssize_t got = retry([&] { return system_calls.read(file_.fd(), to, ask); });
    if (got < 0) fail("read", path_, errno);
    if (got == 0) throw_ended_early(missing ? missing : n);
    poll_interrupt();
    return static_cast<size_t>(got);
  }

  const std::string path_;
  File file_;
  size_t remaining_ = SIZE_MAX;
  std::vector<std::byte> buffer_;
  size_t begin_ = 0, end_ = 0;
};

}  // namespace

std::unique_ptr<FileSink> create_file(const std::string& path) {
  return std::make_unique<AtomicFile>(path);
}
std::unique_ptr<Source> open_file(const std::string& path) {
  return std::make_unique<FileSource>(path);
}

}  // namespace shortlist::io
