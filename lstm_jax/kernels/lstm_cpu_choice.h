// Which of the instruction sets that lstm_cpu_tile.cc was compiled for runs here.
//
// Included only in lstm_cpu.cc.

#ifndef LSTM_CPU_CHOICE_H_
#define LSTM_CPU_CHOICE_H_

#include <cstdlib>
#include <string_view>
#include <type_traits>

#include "lstm_cpu.h"

namespace lstm_cpu {
namespace {

// Best first. LSTM_JAX_CPU_ISA=avx2 or plain asks for less, to test what other machines run.
const char* const kNames[] = {"avx512bf16", "avx512", "avx2", "plain"};

bool runs(int isa) {
#if defined(LSTM_X86_SETS)
  switch (isa) {
    case 0:
      return runs(1) && __builtin_cpu_supports("avx512bf16");
    case 1:
      return runs(2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    case 2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  }
#endif
  return isa == 3;
}

int best_isa() {
  int isa = 0;
  if (const char* asked = std::getenv("LSTM_JAX_CPU_ISA")) {
    while (isa < 3 && std::string_view(asked) != kNames[isa]) ++isa;
  }
  while (!runs(isa)) ++isa;
  return isa;
}

const int kIsa = best_isa();

template <typename T>
const Kernels<T>& kernels(bool bfloat16) {
  constexpr bool single = std::is_same_v<T, float>;
#if defined(LSTM_X86_SETS)
  if constexpr (single) {
    if (bfloat16) return avx512bf16::kBfloat16;
    if (kIsa <= 1) return avx512::kFloat32;
    if (kIsa == 2) return avx2::kFloat32;
  } else {
    if (kIsa <= 1) return avx512::kFloat64;
    if (kIsa == 2) return avx2::kFloat64;
  }
#endif
  if constexpr (single) {
    return plain::kFloat32;
  } else {
    return plain::kFloat64;
  }
}

}  // namespace
}  // namespace lstm_cpu

#endif  // LSTM_CPU_CHOICE_H_
