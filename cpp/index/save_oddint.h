// Odd-integer codecs in the native container.
#pragma once

#include <memory>
#include <string>

#include "codec/oddint/codec.h"
#include "index/record.h"

namespace shortlist {

// The record of an index, too, which has `fields` besides.
void save_oddint(io::ContainerWriter& out, const OddIntCodec& codec, const std::string& at,
                 io::Fields& fields);
std::shared_ptr<OddIntCodec> load_oddint(io::ContainerReader& in, const Record& record,
                                         const std::string& at);
// What training found of a codec that has been made.
void load_trained(io::ContainerReader& in, OddIntCodec& codec, const Record& record,
                  const std::string& at);

}  // namespace shortlist
