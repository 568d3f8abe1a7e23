// Which of the instruction sets that lstm_cpu_tile.cc was compiled for runs here.
//
// Included only in lstm_cpu.cc. setup.py defines LSTM_HAS_<NAME> for each set that the compiler
// could compile.

#ifndef LSTM_CPU_CHOICE_H_
#define LSTM_CPU_CHOICE_H_

#include <cstdlib>
#include <iterator>
#include <string_view>
#include <type_traits>

#include "lstm_cpu.h"

namespace lstm_cpu {
namespace {

struct InstructionSet {
  const char* name;
  bool (*runs)();
  const Kernels<float>* float32;
  const Kernels<double>* float64;
  const Kernels<float>* bfloat16;  // null if it has none
};

#if defined(LSTM_HAS_AVX512)
bool runs_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

// Best first; the last runs on every processor of its kind.
constexpr InstructionSet kSets[] = {
#if defined(LSTM_HAS_AVX512BF16) && defined(LSTM_HAS_AVX512)
    {"avx512bf16", [] { return runs_avx512() && __builtin_cpu_supports("avx512bf16"); },
     &avx512::kFloat32, &avx512::kFloat64, &avx512bf16::kBfloat16},
#endif
#if defined(LSTM_HAS_AVX512)
    {"avx512", runs_avx512, &avx512::kFloat32, &avx512::kFloat64, nullptr},
#endif
#if defined(LSTM_HAS_AVX2)
    {"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); },
     &avx2::kFloat32, &avx2::kFloat64, nullptr},
#endif
#if defined(LSTM_HAS_NEON)
    {"neon", [] { return true; }, &neon::kFloat32, &neon::kFloat64, nullptr},
#else
    {"plain", [] { return true; }, &plain::kFloat32, &plain::kFloat64, nullptr},
#endif
};

// LSTM_JAX_CPU_ISA=avx2 or plain asks for less, to test what other machines run.
const InstructionSet& best_set() {
  const InstructionSet* set = std::begin(kSets);
  const InstructionSet* const last = std::end(kSets) - 1;
  if (const char* asked = std::getenv("LSTM_JAX_CPU_ISA")) {
    while (set < last && std::string_view(asked) != set->name) ++set;
  }
  while (!set->runs()) ++set;
  return *set;
}

const InstructionSet& kSet = best_set();

template <typename T>
const Kernels<T>& kernels(bool bfloat16) {
  if constexpr (std::is_same_v<T, float>) {
    return bfloat16 && kSet.bfloat16 != nullptr ? *kSet.bfloat16 : *kSet.float32;
  } else {
    return *kSet.float64;
  }
}

}  // namespace
}  // namespace lstm_cpu

#endif  // LSTM_CPU_CHOICE_H_
