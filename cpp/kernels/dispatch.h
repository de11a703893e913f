// Which ISA levels exist, which this machine runs, and which one is in use.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace shortlist::kernels {

enum class Isa { reference, avx2, avx512, neon };

std::string name_of(Isa isa);
Isa isa_named(const std::string& name);  // throws ArgumentError naming the choices
std::vector<Isa> compiled();             // built into this binary
std::vector<Isa> runnable();             // compiled and supported by this machine
const Table& table(Isa isa);             // throws ArgumentError if not runnable
Isa level();                             // the one in use
void set_level(Isa isa);                 // throws ArgumentError if not runnable

}  // namespace shortlist::kernels
