// Recognises files that are not ours by their first bytes, to say what they are.
#pragma once

#include <span>
#include <string>

namespace shortlist::io {

// What data beginning with `head` looks like and what to do with it, as half a sentence after
// "this is "; empty if unknown.
std::string describe_foreign(std::span<const std::byte> head);

}  // namespace shortlist::io
