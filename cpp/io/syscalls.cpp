#include "io/syscalls.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"

namespace shortlist::io {
namespace {

int open_file(const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); }

int completed(int result) { return result; }

constexpr SystemCalls kReal{open_file, ::read,      ::pread, completed, ::write,
                            ::fsync,   std::rename, ::close, ::unlink};

struct Fault {
  std::atomic<size_t> left{0};  // calls still allowed
  std::atomic<bool> fired{false};
  int error_number = 0;

  bool strikes() { return left.fetch_sub(1) == 0 && !fired.exchange(true); }
  int error() const {
    if (error_number < 0) ::kill(::getpid(), -error_number);
    errno = error_number;
    return -1;
  }
  size_t shorten(size_t n) const { return (n + 1) / 2; }
} g_fault;

int faulty_open(const char* path, int flags, mode_t mode) {
  return g_fault.strikes() ? g_fault.error() : kReal.open(path, flags, mode);
}
ssize_t faulty_read(int fd, void* data, size_t n) {
  if (!g_fault.strikes()) return kReal.read(fd, data, n);
  return g_fault.error_number ? g_fault.error() : kReal.read(fd, data, g_fault.shorten(n));
}
ssize_t faulty_pread(int fd, void* data, size_t n, off_t offset) {
  if (!g_fault.strikes()) return kReal.pread(fd, data, n, offset);
  return g_fault.error_number ? g_fault.error() : kReal.pread(fd, data, g_fault.shorten(n), offset);
}
int faulty_completed(int result) {
  if (!g_fault.strikes()) return result;
  if (g_fault.error_number) {
    g_fault.error();
    return -g_fault.error_number;
  }
  return result > 0 ? static_cast<int>(g_fault.shorten(static_cast<size_t>(result))) : result;
}
ssize_t faulty_write(int fd, const void* data, size_t n) {
  if (!g_fault.strikes()) return kReal.write(fd, data, n);
  if (g_fault.error_number < 0) (void)!kReal.write(fd, data, g_fault.shorten(n));
  return g_fault.error_number ? g_fault.error() : kReal.write(fd, data, g_fault.shorten(n));
}
int faulty_fsync(int fd) { return g_fault.strikes() ? g_fault.error() : kReal.fsync(fd); }
int faulty_rename(const char* from, const char* to) {
  return g_fault.strikes() ? g_fault.error() : kReal.rename(from, to);
}
// As Linux does it: the descriptor is gone even when close reports an error.
int faulty_close(int fd) {
  const int result = kReal.close(fd);
  return g_fault.strikes() ? g_fault.error() : result;
}
int faulty_unlink(const char* path) {
  return g_fault.strikes() ? g_fault.error() : kReal.unlink(path);
}

}  // namespace

SystemCalls system_calls = kReal;

void fail_call(std::string_view call, size_t after, int error_number) {
  restore_calls();
  const bool moves_bytes =
      call == "read" || call == "pread" || call == "completed" || call == "write";
  if (error_number == 0 && !moves_bytes)
    throw ArgumentError(
        text("errno 0 cannot be given to '", call,
             "'; pass an errno, or a negated signal (0 shortens what moves bytes)"));
  const bool change = call == "change";
  SystemCalls faulty = kReal;
  if (change || call == "open") faulty.open = faulty_open;
  if (call == "read") faulty.read = faulty_read;
  if (call == "pread") faulty.pread = faulty_pread;
  if (call == "completed") faulty.completed = faulty_completed;
  if (change || call == "write") faulty.write = faulty_write;
  if (change || call == "fsync") faulty.fsync = faulty_fsync;
  if (change || call == "rename") faulty.rename = faulty_rename;
  if (call == "close") faulty.close = faulty_close;
  if (change || call == "unlink") faulty.unlink = faulty_unlink;
  if (std::memcmp(&faulty, &kReal, sizeof kReal) == 0)
    throw ArgumentError(text("there is no system call '", call,
                             "' to fail; choose open, read, pread, completed, write, fsync, "
                             "rename, close, unlink or change"));
  g_fault.left = after;
  g_fault.error_number = error_number;
  system_calls = faulty;
}

bool restore_calls() {
  system_calls = kReal;
  return g_fault.fired.exchange(false);
}

}  // namespace shortlist::io
