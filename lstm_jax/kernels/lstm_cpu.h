// What lstm_cpu.cc (XLA's side: handlers, threads) and lstm_cpu_tile.cc (the arithmetic, compiled
// once per instruction set) say to each other.
//
// Letters as in lstm_jax/shapes.py: B batch, T time, D inputs, H hidden units; gates in the order
// i, f, g, o. All arrays are row-major.

#ifndef LSTM_CPU_H_
#define LSTM_CPU_H_

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace lstm_cpu {

// Memory for `bytes` bytes, or a std::bad_alloc, which becomes an error of XLA: all that the kernel
// allocates by itself comes from here. It begins at a multiple of 64 bytes, and has 64 more at its
// end: whole vectors are loaded from the last, incomplete ones. Defined in lstm_cpu.cc.
void* allocate(int64_t bytes);

template <typename U>
using Memory = std::unique_ptr<U, decltype(&std::free)>;

// One direction of reading: what the forward pass reads and writes, then what the backward pass
// adds to it. `packed_*` are the kernels in the order in which the tile loops read them.
template <typename T>
struct Direction {
  bool reverse;
  const T *input_kernel, *recurrent_kernel, *bias;  // [D, 4H], [H, 4H], [4H]
  const T *initial_hidden, *initial_cell;           // [B, H]
  T* outputs;                                       // [B, T, H]
  T *final_hidden, *final_cell;                     // [B, H]
  T* gates;                                         // [B, T, 4H] after their activations, or null;
                                                    // the backward pass leaves dz in their place
  T* cells;                                         // [B, T, H] after each step, or null
  void *packed_input, *packed_recurrent;

  const T *d_outputs, *d_final_hidden, *d_final_cell;
  T *d_input_kernel, *d_recurrent_kernel, *d_bias;
  T* d_inputs;  // [B, T, D]
  T *d_initial_hidden, *d_initial_cell;
};

template <typename T>
struct Problem {
  int64_t batch, time, features, hidden;
  const T* inputs;         // [B, T, D]
  const int32_t* lengths;  // [B], within 0..T
  const int32_t* order;    // the sequences from the longest to the shortest
};

// Half of the units of one sequence, which one thread advances while another has the other half.
template <typename T>
struct Half {
  int sequence;          // its place in `order`
  int64_t first, size;   // units [first, first + size); `first` is a multiple of a vector's lanes
  T* hidden;             // [2, stride], of both halves: h after an even and an odd number of steps
  int64_t hidden_stride;
  char* memory;          // `half_bytes` of its own
};

// The arithmetic for one element type on one instruction set.
template <typename T>
struct Kernels {
  int tile_rows;   // sequences that a thread advances together, at most
  int block_rows;  // rows of preactivations that it holds
  // Bytes of a packed [rows, columns] matrix, and the number of panels it is packed by.
  int64_t (*packed_bytes)(int64_t rows, int64_t columns);
  int64_t (*panels)(int64_t columns);
  // Packs panel `panel` of a [rows, columns] matrix whose element (r, c) is at r * row_stride + c *
  // column_stride.
  void (*pack)(const T* matrix, int64_t rows, int64_t columns, int64_t row_stride,
               int64_t column_stride, int64_t panel, void* packed);
  // All steps of the sequences order[first .. first + count).
  void (*forward)(const Problem<T>&, const Direction<T>&, int64_t first, int count);
  // A turn of half a sequence: the first packs, the last writes the final state, and each between
  // them is a step. Each needs both halves' turns before it.
  int64_t (*half_bytes)(const Problem<T>&, int64_t size);
  void (*half)(const Problem<T>&, const Direction<T>&, const Half<T>&, int64_t turn);
  void (*backward)(const Problem<T>&, const Direction<T>&, int64_t first, int count);
  // The gradients of kernels and bias over all steps, for panels [left, right) of their columns;
  // after all of `backward`.
  void (*gradient)(const Problem<T>&, const Direction<T>&, int64_t left, int64_t right);
};

// The tables that lstm_cpu_tile.cc defines, one namespace for each set of compiler flags.
#define LSTM_CPU_DECLARE(isa)            \
  namespace isa {                        \
  extern const Kernels<float> kFloat32;  \
  extern const Kernels<double> kFloat64; \
  extern const Kernels<float> kBfloat16; \
  }
LSTM_CPU_DECLARE(plain)
LSTM_CPU_DECLARE(neon)
LSTM_CPU_DECLARE(avx2)
LSTM_CPU_DECLARE(avx512)
LSTM_CPU_DECLARE(avx512bf16)
#undef LSTM_CPU_DECLARE

}  // namespace lstm_cpu

#endif  // LSTM_CPU_H_
