// Warnings for the user, said once each; bind/ forwards them to Python's logging.
#pragma once

#include <atomic>
#include <string>

namespace shortlist {

using LogHook = void (*)(const std::string& message);
void set_log_hook(LogHook hook);
void warn(const std::string& message);

// Says `message` the first time `said` is false.
inline void warn_once(std::atomic<bool>& said, const char* message) {
  if (!said.exchange(true, std::memory_order_relaxed)) warn(message);
}

}  // namespace shortlist
