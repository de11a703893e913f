// The system calls the library makes on files, in one table, so that tests can make any of them
// fail.
#pragma once

#include <string_view>

#include <sys/types.h>

namespace shortlist::io {

struct SystemCalls {
  int (*open)(const char* path, int flags, mode_t mode);
  ssize_t (*read)(int fd, void* data, size_t n);
  ssize_t (*pread)(int fd, void* data, size_t n, off_t offset);
  int (*completed)(int result);  // of a read by io_uring: what it moved, or a negated errno
  ssize_t (*write)(int fd, const void* data, size_t n);
  int (*fsync)(int fd);
  int (*rename)(const char* from, const char* to);
  int (*close)(int fd);
  int (*unlink)(const char* path);
};
extern SystemCalls system_calls;

// Lets `after` calls named `call` ("open", "read", ...; "completed"; "change": open, write, fsync,
// rename and unlink together) succeed and makes the next one fail with `error_number`; 0 makes one
// that moves bytes move only half of what was asked, and -n ends the process at it by signal n,
// half of what was to be written written. Later calls succeed again. For tests: not safe while
// other threads use files.
void fail_call(std::string_view call, size_t after, int error_number);
// Ends that; returns whether a call was made to fail.
bool restore_calls();

}  // namespace shortlist::io
