#include "index/in_blocks.h"

#include "base/error.h"

namespace shortlist {

int checked_block(int bbs) {
  if (bbs < 32 || bbs % 32 || bbs > kMostBlock)
    throw ArgumentError(text("bbs = ", bbs, "; it must be a multiple of 32 up to ", kMostBlock));
  return bbs;
}

}  // namespace shortlist
