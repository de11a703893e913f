#include "base/log.h"

namespace shortlist {
namespace {
std::atomic<LogHook> g_log{nullptr};
}

void set_log_hook(LogHook hook) { g_log = hook; }

void warn(const std::string& message) {
  if (LogHook hook = g_log.load()) hook(message);
}

}  // namespace shortlist
