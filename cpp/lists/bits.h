// Lists of bits, of which a kernel tells those near enough to look at.
#pragma once

#include "codec/bits.h"
#include "lists/rows.h"

namespace shortlist::lists {

class BitsForm final : public RowsForm {
 public:
  explicit BitsForm(std::shared_ptr<BitCodec> codec)
      : RowsForm(codec, Metric::l2, false), codec_(std::move(codec)) {}

  std::unique_ptr<Scanner> scanner() const override;

 private:
  const std::shared_ptr<BitCodec> codec_;
};

}  // namespace shortlist::lists
