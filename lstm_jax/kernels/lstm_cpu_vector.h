// Vectors, the two functions of them, and products: what lstm_cpu_tile.cc is made of.
//
// Included only there, and so compiled once per instruction set, LSTM_ISA.

#ifndef LSTM_CPU_VECTOR_H_
#define LSTM_CPU_VECTOR_H_

#include <cstring>
#include <type_traits>
#include <utility>

#include "lstm_cpu.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef LSTM_ISA
#define LSTM_ISA plain
#endif

namespace lstm_cpu {
namespace LSTM_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kRegisters = 16;
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16, kRegisters = 32;
#else
constexpr int kVectorBytes = 16, kRegisters = 16;
#endif

constexpr int kRows = kRegisters == 32 ? 8 : 4;  // rows of a register block, at most
constexpr int kTileRows = 16;
// Rows of a product over several steps: enough that a kernel read from the L3 cache is used often,
// few enough that their preactivations stay in the L2 cache (64 x 4H floats).
constexpr int kBlockRows = 64;
constexpr int kGradientSteps = 128;  // steps summed in registers before they are added to memory

// Columns (in vectors) of a register block of `rows` rows: the accumulators, a row of kernel and
// one broadcast element must fit the registers.
constexpr int columns_for(int rows) {
  return (kRegisters - 1) / (rows + 1) < 8 ? (kRegisters - 1) / (rows + 1) : 8;
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <typename U>
Memory<U> scratch(int64_t size) {
  return {static_cast<U*>(allocate(size * sizeof(U))), &std::free};
}

// ---------------------------------------------------------------------------------------------
// Vectors, and the two functions of them
// ---------------------------------------------------------------------------------------------

template <typename T>
struct Vectors {
  static constexpr int kLanes = kVectorBytes / sizeof(T);
  using Integer = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  typedef Integer Integers __attribute__((vector_size(kVectorBytes)));
};
template <typename T>
using Vector = typename Vectors<T>::Vector;

template <typename T>
inline Vector<T> load(const T* from) {
  Vector<T> vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

template <typename T>
inline void store(T* to, Vector<T> vector) {
  std::memcpy(to, &vector, sizeof(vector));
}

// The first `n` lanes only; the others are loaded as zeros.
template <typename T>
inline Vector<T> load(const T* from, int64_t n) {
  if (n >= Vectors<T>::kLanes) return load(from);
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vector<T>)_mm512_maskz_loadu_ps((1u << n) - 1, from);
  } else {
    return (Vector<T>)_mm512_maskz_loadu_pd((1u << n) - 1, from);
  }
#elif defined(__AVX2__)
  // Without memcpy, which is a call: the forward pass at H = 100 takes 0.97 of the time.
  alignas(32) static constexpr int32_t mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  const __m256i lanes = _mm256_loadu_si256(
      reinterpret_cast<const __m256i*>(mask + 8 - n * int64_t(sizeof(T) / 4)));
  if constexpr (sizeof(T) == 4) {
    return (Vector<T>)_mm256_maskload_ps(from, lanes);
  } else {
    return (Vector<T>)_mm256_maskload_pd(from, lanes);
  }
#else
  Vector<T> vector{};
  std::memcpy(&vector, from, n * sizeof(T));
  return vector;
#endif
}

template <typename T>
inline void store(T* to, Vector<T> vector, int64_t n) {
  if (n >= Vectors<T>::kLanes) return store(to, vector);
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(to, (1u << n) - 1, (__m512)vector);
  } else {
    _mm512_mask_storeu_pd(to, (1u << n) - 1, (__m512d)vector);
  }
#elif defined(__AVX2__)  // by halves: a masked store is slow on AMD's
  char* bytes = reinterpret_cast<char*>(to);
  __m128 part = _mm256_castps256_ps128((__m256)vector);
  if (n * sizeof(T) & 16) {
    _mm_storeu_ps(reinterpret_cast<float*>(bytes), part);
    part = _mm256_extractf128_ps((__m256)vector, 1);
    bytes += 16;
  }
  if (n * sizeof(T) & 8) {
    _mm_storel_pi(reinterpret_cast<__m64*>(bytes), part);
    part = _mm_movehl_ps(part, part);
    bytes += 8;
  }
  if (n * sizeof(T) & 4) _mm_store_ss(reinterpret_cast<float*>(bytes), part);
#else
  std::memcpy(to, &vector, n * sizeof(T));
#endif
}

// e^x - 1 as (p, scale): e^x - 1 = scale * p + (scale - 1), with scale = 2^k and p = e^r - 1 for
// the r = x - k ln 2 within ± ln 2 / 2. Cody & Waite's reduction, Taylor's series of p (its last
// term is below the rounding error of T). x is first brought within ± limit.
template <typename T>
inline void exp_minus_one(Vector<T> x, T limit, Vector<T>* p, Vector<T>* scale) {
  using V = Vector<T>;
  using Integers = typename Vectors<T>::Integers;
  constexpr bool single = sizeof(T) == 4;
  constexpr int mantissa = single ? 23 : 52, bias = single ? 127 : 1023;
  const V bound = V{} + limit;
  x = x > bound ? bound : x;  // a NaN stays
  x = x < -bound ? -bound : x;
  // Adding 1.5 * 2^mantissa rounds to an integer, which then stands in the lowest bits.
  const T magic = T(1.5) * T(int64_t{1} << mantissa);
  const V shifted = x * T(1.4426950408889634074) + magic;
  const V k = shifted - magic;
  const T ln2_high = single ? T(0.693359375) : T(6.93147180369123816490e-01);
  const T ln2_low = single ? T(-2.12194440054690583e-4) : T(1.90821492927058770002e-10);
  const V r = (x - k * ln2_high) - k * ln2_low;
  *scale = (V)((((Integers)shifted) + bias) << mantissa);
  V q;
  if constexpr (single) {
    q = V{} + T(1.0 / 5040);
    q = q * r + T(1.0 / 720);
    q = q * r + T(1.0 / 120);
  } else {
    q = V{} + T(1.0 / 6227020800.0);
    q = q * r + T(1.0 / 479001600);
    q = q * r + T(1.0 / 39916800);
    q = q * r + T(1.0 / 3628800);
    q = q * r + T(1.0 / 362880);
    q = q * r + T(1.0 / 40320);
    q = q * r + T(1.0 / 5040);
    q = q * r + T(1.0 / 720);
    q = q * r + T(1.0 / 120);
  }
  q = q * r + T(1.0 / 24);
  q = q * r + T(1.0 / 6);
  q = q * r + T(0.5);
  *p = q * (r * r) + r;
}

template <typename T>
inline Vector<T> sigmoid(Vector<T> x) {
  Vector<T> p, scale;
  exp_minus_one<T>(-x, sizeof(T) == 4 ? 87 : 708, &p, &scale);  // e^87 and e^-87 are normal numbers
  return T(1) / (T(1) + (scale * p + scale));
}

template <typename T>
inline Vector<T> tanh(Vector<T> x) {
  // tanh x = m / (m + 2) with m = e^2x - 1, which has no cancellation at either end.
  Vector<T> p, scale;
  exp_minus_one<T>(x + x, sizeof(T) == 4 ? 20 : 40, &p, &scale);  // beyond, the result is ± 1
  const Vector<T> m = scale * p + (scale - T(1));
  return m / (m + T(2));
}

// ---------------------------------------------------------------------------------------------
// Products. C += A B with B packed by columns of one vector: [columns / lanes][K][lanes].
// ---------------------------------------------------------------------------------------------

// How T is multiplied: as it is ...
template <typename T_>
struct Exact {
  using T = T_;
  using Element = T;  // of A and of packed B
  static constexpr int kPerElement = 1;
  static Vector<T> multiply_add(Vector<T> sum, Element a, Vector<T> b) { return sum + a * b; }
  static Element combine(const T* from, int64_t, int64_t) { return *from; }
  // The row `from` as A's elements, in `buffer` if it had to be converted.
  static const Element* operand(const T* from, int64_t, Element*) { return from; }
  // `size` elements across the `count` first of some rows, neighbours along K being rows here ...
  static const Element* across(const T* const* rows, int64_t, int64_t, Element*) { return *rows; }
  // ... and the same from `offset` on, written to `to`, one vector.
  static void across_vector(const T* const* rows, int64_t, int64_t offset, int64_t size,
                            Element* to) {
    store(to, load(*rows + offset, size));
  }
};

#if defined(__AVX512BF16__)
// ... or rounded to bfloat16, two neighbours along K to an element, summed in float32.
struct Bfloat16 {
  using T = float;
  using Element = uint32_t;
  static constexpr int kPerElement = 2;
  static Vector<T> multiply_add(Vector<T> sum, Element a, Vector<T> b) {
    return (Vector<T>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)b, (__m512bh)_mm512_set1_epi32(a));
  }
  static Element rounded(float x) { return ((__v8hu)_mm_cvtneps_pbh(_mm_set_ss(x)))[0]; }
  static Element combine(const T* from, int64_t stride, int64_t count) {
    return rounded(from[0]) | (count > 1 ? rounded(from[stride]) << 16 : 0);
  }
  static const Element* operand(const T* from, int64_t size, Element* buffer) {
    for (int64_t i = 0; i < size; i += 16) {
      const __m256bh pairs = _mm512_cvtneps_pbh((__m512)load(from + i, size - i));
      std::memcpy(buffer + i / 2, &pairs, sizeof(pairs));
    }
    return buffer;
  }
  static void across_vector(const T* const* rows, int64_t count, int64_t offset, int64_t size,
                            Element* to) {
    const auto half = [=](int64_t row) {
      return _mm512_cvtepu16_epi32(
          (__m256i)_mm512_cvtneps_pbh((__m512)load(rows[row] + offset, size)));
    };
    const __m512i second = count > 1 ? _mm512_slli_epi32(half(1), 16) : _mm512_setzero_si512();
    _mm512_storeu_si512(to, _mm512_or_si512(half(0), second));
  }
  static const Element* across(const T* const* rows, int64_t count, int64_t size, Element* buffer) {
    for (int64_t i = 0; i < size; i += 16) across_vector(rows, count, i, size - i, buffer + i);
    return buffer;
  }
};
#endif

template <typename Math>
struct Products {
  using T = typename Math::T;
  using Element = typename Math::Element;
  static constexpr int kLanes = Vectors<T>::kLanes;
  using V = Vector<T>;

  static int64_t elements(int64_t size) { return ceil_div(size, Math::kPerElement); }
  static int64_t panels(int64_t columns) { return ceil_div(columns, kLanes); }
  // The vectors that a packed panel takes: an odd number, so that neighbours of several panels do
  // not share the few places that the L1 cache has for addresses 4 KiB apart.
  static int64_t depth(int64_t rows) { return elements(rows) | 1; }
  static int64_t packed_bytes(int64_t rows, int64_t columns) {
    return panels(columns) * depth(rows) * kLanes * sizeof(Element);
  }

  static void pack(const T* matrix, int64_t rows, int64_t columns, int64_t row_stride,
                   int64_t column_stride, int64_t panel, void* packed) {
    Element* to = static_cast<Element*>(packed) + panel * depth(rows) * kLanes;
    if constexpr (Math::kPerElement == 1) {
      if (column_stride == 1) {
        matrix += panel * kLanes;
        for (int64_t row = 0; row < rows; ++row) {
          store(to + row * kLanes, load(matrix + row * row_stride, columns - panel * kLanes));
        }
        return;
      }
    }
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const int64_t column = panel * kLanes + lane;
      for (int64_t e = 0; e < elements(rows); ++e) {
        const int64_t row = e * Math::kPerElement;
        to[e * kLanes + lane] =
            column < columns ? Math::combine(matrix + row * row_stride + column * column_stride,
                                             row_stride, rows - row)
                             : Element{};
      }
    }
  }

  // C [R rows, C vectors] += A B for one block of registers. Row r of A is at a[r]; or, if
  // `Outer`, column k of A is at a[k].
  template <int R, int C, bool Outer>
  static void block(const Element* const* a, int64_t offset, int64_t count, const Element* b,
                    int64_t b_stride, T* c, int64_t c_stride) {
    V sum[R][C];
    const Element* row[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      if constexpr (!Outer) row[r] = a[r];
#pragma GCC unroll 16
      for (int j = 0; j < C; ++j) sum[r][j] = load(c + r * c_stride + j * kLanes);
    }
    for (int64_t k = 0; k < count; ++k) {
      V weights[C];
#pragma GCC unroll 16
      for (int j = 0; j < C; ++j) {
        std::memcpy(&weights[j], b + j * b_stride + k * kLanes, sizeof(V));
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const Element element = Outer ? a[k][offset + r] : row[r][k];
#pragma GCC unroll 16
        for (int j = 0; j < C; ++j) sum[r][j] = Math::multiply_add(sum[r][j], element, weights[j]);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < C; ++j) store(c + r * c_stride + j * kLanes, sum[r][j]);
    }
  }

  using Block = void (*)(const Element* const*, int64_t, int64_t, const Element*, int64_t, T*,
                         int64_t);

  // The block of r + 1 rows and c + 1 columns at [r * Columns + c]; null where it would not fit.
  template <bool Outer, int Columns, int... I>
  static const Block* block_table(std::integer_sequence<int, I...>) {
    static constexpr Block table[] = {choose<I / Columns + 1, I % Columns + 1, Outer>()...};
    return table;
  }
  template <int R, int C, bool Outer>
  static constexpr Block choose() {
    if constexpr (C <= columns_for(R)) {
      return &block<R, C, Outer>;
    } else {
      return nullptr;
    }
  }

  // C [rows, columns vectors] += A B, in blocks of nearly equal heights and widths.
  static void multiply(const Element* const* a, int64_t rows, int64_t count, const Element* b,
                       int64_t columns, T* c, int64_t c_stride, bool from_right = false) {
    constexpr int kColumns = columns_for(1);
    static const Block* const table =
        block_table<false, kColumns>(std::make_integer_sequence<int, kRows * kColumns>());
    const int64_t groups = ceil_div(rows, kRows), stride = (count | 1) * kLanes;
    const int64_t widths = ceil_div(columns, columns_for(ceil_div(rows, groups)));
    for (int64_t turn = 0; turn < widths; ++turn) {
      const int64_t w = from_right ? widths - 1 - turn : turn;
      const int64_t first = columns * w / widths, width = columns * (w + 1) / widths - first;
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t top = rows * g / groups, height = rows * (g + 1) / groups - top;
        table[(height - 1) * kColumns + width - 1](
            a + top, 0, count, b + first * stride, stride, c + top * c_stride + first * kLanes,
            c_stride);
      }
    }
  }
};

}  // namespace
}  // namespace LSTM_ISA
}  // namespace lstm_cpu

#endif  // LSTM_CPU_VECTOR_H_
