#include "base/types.h"

namespace shortlist {

std::string_view name_of(DType t) {
  switch (t) {
    case DType::f32:
      return "float32";
    case DType::f16:
      return "float16";
    case DType::u8:
      return "uint8";
    case DType::i8:
      return "int8";
  }
  return "?";
}

std::string_view name_of(Metric m) { return m == Metric::l2 ? "L2" : "inner product"; }
std::string_view name_of(Objective o) { return o == Objective::recall ? "recall" : "score"; }

}  // namespace shortlist
