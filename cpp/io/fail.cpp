#include "io/fail.h"

#include <cstring>

namespace shortlist::io {
namespace {

const char* remedy(int error) {
  switch (error) {
    case ENOENT:
      return "check the path, and create its folder first";
    case ENOTDIR:
      return "a part of the path is a file, not a folder";
    case EISDIR:
      return "this is a folder; name a file in it";
    case EACCES:
    case EPERM:
      return "ask for permission on the file and its folder, or use another folder";
    case EROFS:
      return "the file system is read-only; use another folder";
    case ENOSPC:
      return "free space on the disk, or use another folder";
    case EDQUOT:
      return "the disk quota is used up; free space, or use another folder";
    case EFBIG:
      return "the file system or a limit (ulimit -f) does not allow files this large";
    case ENAMETOOLONG:
      return "use a shorter name";
    case ELOOP:
      return "the path's symbolic links go in a circle";
    case EMFILE:
    case ENFILE:
      return "too many files are open; close some, or raise the limit (ulimit -n)";
    case EIO:
      return "the disk reports a fault; see the system log";
    default:
      return "see the system's documentation of this error";
  }
}

}  // namespace

void fail(const char* verb, const std::string& path, int error) {
  throw IoError(
      error, path,
      text("cannot ", verb, " '", path, "': ", std::strerror(error), "; ", remedy(error)));
}

}  // namespace shortlist::io
