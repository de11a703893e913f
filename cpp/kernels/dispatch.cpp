#include "kernels/dispatch.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "base/error.h"

namespace shortlist::kernels {
namespace {

bool machine_runs(Isa isa) {
  switch (isa) {
    case Isa::reference:
      return true;
    case Isa::neon:
#if defined(__aarch64__)
      return true;
#else
      return false;
#endif
    case Isa::avx2:
#if defined(__x86_64__)
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c");
#else
      return false;
#endif
    case Isa::avx512:
#if defined(__x86_64__)
      return machine_runs(Isa::avx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
#else
      return false;
#endif
  }
  return false;
}

#if defined(SHORTLIST_ISA_AVX512)
// Beyond the level: processors have VNNI without it.
bool counts_bits() { return __builtin_cpu_supports("avx512vpopcntdq"); }
#endif

// A level is the one below with some kernels replaced.
Table make(Isa isa) {
  Table t{};
  l2::add_reference(t);
  ip::add_reference(t);
  gemm::add_reference(t);
  half::add_reference(t);
  lut::add_reference(t);
  oddint::add_reference(t);
  hadamard::add_reference(t);
  filter::add_reference(t);
  hamming::add_reference(t);
  softmax::add_reference(t);
#if defined(SHORTLIST_ISA_AVX2)
  if (isa == Isa::avx2 || isa == Isa::avx512) {
    l2::add_avx2(t);
    ip::add_avx2(t);
    gemm::add_avx2(t);
    half::add_avx2(t);
    lut::add_avx2(t);
    oddint::add_avx2(t);
    hadamard::add_avx2(t);
    filter::add_avx2(t);
    hamming::add_avx2(t);
    softmax::add_avx2(t);
  }
#endif
#if defined(SHORTLIST_ISA_AVX512)
  if (isa == Isa::avx512) {
    l2::add_avx512(t);
    ip::add_avx512(t);
    gemm::add_avx512(t);
    lut::add_avx512(t);
    oddint::add_avx512(t);
    hadamard::add_avx512(t);
    filter::add_avx512(t);
    softmax::add_avx512(t);
    if (counts_bits()) hamming::add_avx512(t);
  }
#endif
#if defined(SHORTLIST_ISA_NEON)
  if (isa == Isa::neon) {
    l2::add_neon(t);
    ip::add_neon(t);
    gemm::add_neon(t);
    half::add_neon(t);
    lut::add_neon(t);
    oddint::add_neon(t);
    hadamard::add_neon(t);
    hamming::add_neon(t);
    softmax::add_neon(t);
  }
#endif
  return t;
}

// NEON has not been run on hardware by this project yet: it must be asked for by name.
Isa best() {
  const auto have = runnable();
  for (Isa isa : {Isa::avx512, Isa::avx2})
    if (std::find(have.begin(), have.end(), isa) != have.end()) return isa;
  return Isa::reference;
}

std::atomic<int> g_level{-1};
std::atomic<const Table*> g_active{nullptr};

void use(Isa isa) {
  g_level = static_cast<int>(isa);
  g_active = &table(isa);
}

void choose() {
  const char* asked = std::getenv("SHORTLIST_ISA");
  if (!asked || !*asked) return use(best());
  try {
    use(isa_named(asked));
  } catch (const ArgumentError& e) {
    throw ArgumentError(text("environment variable SHORTLIST_ISA: ", e.what()));
  }
}

}  // namespace

std::string name_of(Isa isa) {
  switch (isa) {
    case Isa::reference:
      return "reference";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::neon:
      return "neon";
  }
  return "?";
}

Isa isa_named(const std::string& name) {
  std::string choices;
  for (Isa isa : runnable()) {
    if (name_of(isa) == name) return isa;
    choices += (choices.empty() ? "" : ", ") + name_of(isa);
  }
  throw ArgumentError(
      text("instruction set '", name, "' is not available here; choose one of: ", choices));
}

std::vector<Isa> compiled() {
  std::vector<Isa> out{Isa::reference};
#if defined(SHORTLIST_ISA_AVX2)
  out.push_back(Isa::avx2);
#endif
#if defined(SHORTLIST_ISA_AVX512)
  out.push_back(Isa::avx512);
#endif
#if defined(SHORTLIST_ISA_NEON)
  out.push_back(Isa::neon);
#endif
  return out;
}

std::vector<Isa> runnable() {
  auto out = compiled();
  std::erase_if(out, [](Isa isa) { return !machine_runs(isa); });
  return out;
}

const Table& table(Isa isa) {
  isa_named(name_of(isa));  // refuses a level this machine cannot run
  static const Table tables[] = {make(Isa::reference), make(Isa::avx2), make(Isa::avx512),
                                 make(Isa::neon)};
  return tables[static_cast<int>(isa)];
}

Isa level() {
  if (g_level.load(std::memory_order_relaxed) < 0) choose();
  return static_cast<Isa>(g_level.load(std::memory_order_relaxed));
}

void set_level(Isa isa) { use(isa); }

const Table& active() {
  if (!g_active.load(std::memory_order_acquire)) choose();
  return *g_active.load(std::memory_order_acquire);
}

}  // namespace shortlist::kernels
