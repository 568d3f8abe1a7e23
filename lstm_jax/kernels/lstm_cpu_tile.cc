// The arithmetic of the LSTM on a processor's vectors. setup.py compiles this file once per
// instruction set, with LSTM_ISA naming it; lstm_cpu.cc picks one when the library is loaded.
//
// A tile is a few sequences that one thread advances through all their steps. Tiles depend on
// nothing but the packed kernels, so threads never wait for each other. Within a tile the
// sequences stand from the longest to the shortest, and each counts its steps s from the first one
// it reads (its last position, when reading in reverse): those still running at step s are then
// the first n of them, and nothing is computed for padding: it is set to zero.
//
// Every number is computed by the same operations in the same order whatever the tile it is in.
// That makes the bits independent of the number of threads, which changes only the tiles.

#include "lstm_cpu_gradient.h"
#include "lstm_cpu_vector.h"

namespace lstm_cpu {
namespace LSTM_ISA {
namespace {

template <typename Math>
struct Tile : Products<Math> {
  using typename Products<Math>::T;
  using typename Products<Math>::V;
  using typename Products<Math>::Element;
  using typename Products<Math>::Block;
  using Products<Math>::kLanes;
  using Products<Math>::elements;
  using Products<Math>::panels;
  using Products<Math>::multiply;

  // -------------------------------------------------------------------------------------------
  // A tile through all its steps
  // -------------------------------------------------------------------------------------------

  // The sequences of a tile; `running(s)` of them have a step s.
  struct Sequences {
    const Problem<T>& problem;
    const int32_t* sequence;
    int count;
    bool reverse;
    int32_t length[kTileRows];

    Sequences(const Problem<T>& p, const Direction<T>& d, int64_t first, int count)
        : problem(p), sequence(p.order + first), count(count), reverse(d.reverse) {
      for (int r = 0; r < count; ++r) length[r] = p.lengths[sequence[r]];
    }
    int64_t steps() const { return length[0]; }
    int running(int64_t s) const {
      int n = count;
      while (n > 0 && length[n - 1] <= s) --n;
      return n;
    }
    // Where step s of row r stands in a [B * T, ...] array.
    int64_t at(int r, int64_t s) const {
      return sequence[r] * problem.time + (reverse ? length[r] - 1 - s : s);
    }
    // What row r had before step s: row `s` - 1 of `later`, or its row of `initial`.
    const T* before(int r, int64_t s, const T* later, const T* initial) const {
      const int64_t size = problem.hidden;
      return s > 0 ? later + at(r, s - 1) * size : initial + sequence[r] * size;
    }
    // Zeros at and past each row's length of a [B, T, size] array, if there is one.
    void clear_padding(T* array, int64_t size) const {
      if (array == nullptr) return;
      for (int r = 0; r < count; ++r) {
        std::memset(array + (sequence[r] * problem.time + length[r]) * size, 0,
                    (problem.time - length[r]) * size * sizeof(T));
      }
    }
  };

  // c_t = f c_{t-1} + i g and h_t = o tanh(c_t), for one row of preactivations z [4H], which
  // become the gates, in `gates` (which may be z). Two loops: in one, five long chains of
  // dependent operations a turn fill the processor's queues and it runs at half the speed.
  static void activate(const T* z, int64_t size, T* cell, T* hidden, T* gates, T* cells) {
    for (int64_t j = 0; j < 2 * size; j += kLanes) {
      store(gates + j, sigmoid<T>(load(z + j)), 2 * size - j);
    }
    for (int64_t j = 0; j < size; j += kLanes) {
      store(gates + 2 * size + j, tanh<T>(load(z + 2 * size + j)), size - j);
    }
    for (int64_t j = 0; j < size; j += kLanes) {
      store(gates + 3 * size + j, sigmoid<T>(load(z + 3 * size + j)), size - j);
    }
    for (int64_t j = 0; j < size; j += kLanes) {
      const int64_t n = size - j;
      const V i = load(gates + j, n), f = load(gates + size + j, n);
      const V g = load(gates + 2 * size + j, n), o = load(gates + 3 * size + j, n);
      const V c = f * load(cell + j) + i * g;
      store(cell + j, c);
      store(hidden + j, o * tanh<T>(c), n);
      if (cells != nullptr) store(cells + j, c, n);
    }
  }

  static void forward(const Problem<T>& p, const Direction<T>& d, int64_t first, int count) {
    const Sequences rows(p, d, first, count);
    const int64_t hidden = p.hidden, columns = panels(4 * hidden), z_stride = columns * kLanes;
    const int64_t cell_stride = panels(hidden) * kLanes;
    const int64_t steps = kBlockRows / count;
    const int64_t operand_stride = panels(p.features > hidden ? p.features : hidden) * kLanes;
    auto z = scratch<T>(kBlockRows * z_stride);
    auto cell = scratch<T>(count * cell_stride);
    auto buffer = scratch<Element>(Math::kPerElement > 1 ? kBlockRows * operand_stride : 0);
    const Element* packed_input = static_cast<const Element*>(d.packed_input);
    const Element* packed_recurrent = static_cast<const Element*>(d.packed_recurrent);
    const Element* a[kBlockRows];
    for (int r = 0; r < count; ++r) {
      std::memcpy(cell.get() + r * cell_stride, d.initial_cell + rows.sequence[r] * hidden,
                  hidden * sizeof(T));
    }
    for (int64_t block = 0; block < rows.steps(); block += steps) {
      const int64_t end = block + steps < rows.steps() ? block + steps : rows.steps();
      // z = x W + b, for all steps of the block.
      int64_t total = 0;
      for (int64_t s = block; s < end; ++s) {
        for (int r = 0; r < rows.running(s); ++r, ++total) {
          a[total] = Math::operand(p.inputs + rows.at(r, s) * p.features, p.features,
                                   buffer.get() + total * operand_stride);
          std::memcpy(z.get() + total * z_stride, d.bias, 4 * hidden * sizeof(T));
        }
      }
      multiply(a, total, elements(p.features), packed_input, columns, z.get(), z_stride);
      // z += h U, and the activations, step by step.
      T* z_step = z.get();
      for (int64_t s = block; s < end; ++s) {
        const int running = rows.running(s);
        for (int r = 0; r < running; ++r) {
          a[r] = Math::operand(rows.before(r, s, d.outputs, d.initial_hidden), hidden,
                               buffer.get() + r * operand_stride);
        }
        multiply(a, running, elements(hidden), packed_recurrent, columns, z_step, z_stride, s % 2);
        for (int r = 0; r < running; ++r, z_step += z_stride) {
          const int64_t at = rows.at(r, s);
          activate(z_step, hidden, cell.get() + r * cell_stride, d.outputs + at * hidden,
                   d.gates ? d.gates + at * 4 * hidden : z_step,
                   d.gates ? d.cells + at * hidden : nullptr);
        }
      }
    }
    for (int r = 0; r < count; ++r) {
      const int64_t to = rows.sequence[r] * hidden;
      std::memcpy(d.final_hidden + to, rows.before(r, rows.length[r], d.outputs, d.initial_hidden),
                  hidden * sizeof(T));
      std::memcpy(d.final_cell + to, cell.get() + r * cell_stride, hidden * sizeof(T));
    }
    clear_padding(rows, d, hidden);
  }

  // What leaves the forward pass is defined at every step: `jax_debug_nans` looks at all of it.
  static void clear_padding(const Sequences& rows, const Direction<T>& d, int64_t hidden) {
    rows.clear_padding(d.outputs, hidden);
    rows.clear_padding(d.gates, 4 * hidden);  // the backward pass leaves these zeros in dz
    rows.clear_padding(d.cells, hidden);
  }

  // -------------------------------------------------------------------------------------------
  // Half of a sequence's units, for two threads
  // -------------------------------------------------------------------------------------------

  // A half's memory, in bytes from its beginning. The half is like an LSTM of `size` units, but for
  // the h that it reads, which is of all: [i f g o] of its own units side by side.
  struct HalfMemory {
    int64_t input, recurrent, bias, cell, z, columns, operands, end = 0;

    HalfMemory(const Problem<T>& p, int64_t size) {
      const auto next = [this](int64_t bytes) {
        const int64_t here = end;
        end += ceil_div(bytes, 64) * 64 + 64;  // as in allocate()
        return here;
      };
      const int64_t gates = 4 * size, rows = p.features > p.hidden ? p.features : p.hidden;
      input = next(Products<Math>::packed_bytes(p.features, gates));
      recurrent = next(Products<Math>::packed_bytes(p.hidden, gates));
      bias = next(gates * sizeof(T));
      cell = next(panels(size) * kLanes * sizeof(T));
      z = next(kBlockRows * panels(gates) * kLanes * sizeof(T));
      columns = next(rows * gates * sizeof(T));
      operands = next(kBlockRows * panels(rows) * kLanes * sizeof(T));
    }
  };

  static int64_t half_bytes(const Problem<T>& p, int64_t size) { return HalfMemory(p, size).end; }

  // Turn 0 packs; turn s + 1 is step s; the turn after the last step writes the final state.
  static void half(const Problem<T>& p, const Direction<T>& d, const Half<T>& half, int64_t turn) {
    const HalfMemory places(p, half.size);
    const auto at = [&](int64_t place) { return reinterpret_cast<T*>(half.memory + place); };
    const auto packed = [&](int64_t place) {
      return reinterpret_cast<Element*>(half.memory + place);
    };
    const Sequences rows(p, d, half.sequence, 1);
    const int64_t sequence = rows.sequence[0], hidden = p.hidden, size = half.size;
    const int64_t gates = 4 * size, bytes = size * sizeof(T), columns = panels(gates),
                  z_stride = columns * kLanes, step = turn - 1;
    T* const cell = at(places.cell);
    const auto after = [&](int64_t steps) { return half.hidden + steps % 2 * half.hidden_stride; };
    // A row [4H] and this half's part of it [4 size].
    const auto gather = [&](const T* row, T* part) {
      for (int gate = 0; gate < 4; ++gate) {
        std::memcpy(part + gate * size, row + gate * hidden + half.first, bytes);
      }
    };
    const auto pack_columns = [&](const T* matrix, int64_t count, void* to) {
      T* const gathered = at(places.columns);
      for (int64_t r = 0; r < count; ++r) gather(matrix + r * 4 * hidden, gathered + r * gates);
      for (int64_t panel = 0; panel < columns; ++panel) {
        Products<Math>::pack(gathered, count, gates, gates, 1, panel, to);
      }
    };

    // The first half writes the outputs of both, a turn later: two threads that write to one cache
    // line wait for each other.
    if (step > 0 && half.first == 0) {
      std::memcpy(d.outputs + rows.at(0, step - 1) * hidden, after(step), hidden * sizeof(T));
    }
    if (turn == 0) {
      pack_columns(d.input_kernel, p.features, packed(places.input));
      pack_columns(d.recurrent_kernel, hidden, packed(places.recurrent));
      gather(d.bias, at(places.bias));
      std::memcpy(cell, d.initial_cell + sequence * hidden + half.first, bytes);
      std::memcpy(after(0) + half.first, d.initial_hidden + sequence * hidden + half.first, bytes);
      return;
    }
    if (step == rows.steps()) {
      const int64_t to = sequence * hidden + half.first;
      std::memcpy(d.final_hidden + to, after(step) + half.first, bytes);
      std::memcpy(d.final_cell + to, cell, bytes);
      if (half.first == 0) clear_padding(rows, d, hidden);
      return;
    }
    T* const block = at(places.z);
    T* const z = block + step % kBlockRows * z_stride;
    if (step % kBlockRows == 0) {  // x W + b, for a block of steps
      const Element* a[kBlockRows];
      int64_t total = 0;
      for (int64_t s = step; s < rows.steps() && total < kBlockRows; ++s, ++total) {
        a[total] = Math::operand(p.inputs + rows.at(0, s) * p.features, p.features,
                                 packed(places.operands) + total * panels(p.features) * kLanes);
        std::memcpy(block + total * z_stride, at(places.bias), gates * sizeof(T));
      }
      multiply(a, total, elements(p.features), packed(places.input), columns, block, z_stride);
    }
    const Element* a = Math::operand(after(step), hidden, packed(places.operands));
    multiply(&a, 1, elements(hidden), packed(places.recurrent), columns, z, z_stride, step % 2);
    activate(z, size, cell, after(step + 1) + half.first, z, nullptr);
    const int64_t row = rows.at(0, step);
    if (d.gates != nullptr) {
      std::memcpy(d.cells + row * hidden + half.first, cell, bytes);
      for (int gate = 0; gate < 4; ++gate) {
        std::memcpy(d.gates + (row * 4 + gate) * hidden + half.first, z + gate * size, bytes);
      }
    }
  }

  // -------------------------------------------------------------------------------------------
  // The backward pass
  // -------------------------------------------------------------------------------------------

  // Replaces the gates of one row and step by dz, and d_cell by what reaches the step before.
  static void differentiate(T* gates, int64_t size, const T* cell, const T* cell_before,
                            const T* d_output, const T* d_hidden, T* d_cell) {
    for (int64_t j = 0; j < size; j += kLanes) {
      const int64_t n = size - j;
      const V i = load(gates + j, n), f = load(gates + size + j, n);
      const V g = load(gates + 2 * size + j, n), o = load(gates + 3 * size + j, n);
      const V tanh_c = tanh<T>(load(cell + j, n));
      const V dh = load(d_hidden + j) + load(d_output + j, n);
      const V dc = load(d_cell + j) + dh * o * (T(1) - tanh_c * tanh_c);
      store(d_cell + j, dc * f);
      store(gates + j, dc * g * (i * (T(1) - i)), n);
      store(gates + size + j, dc * load(cell_before + j, n) * (f * (T(1) - f)), n);
      store(gates + 2 * size + j, dc * i * (T(1) - g * g), n);
      store(gates + 3 * size + j, dh * tanh_c * (o * (T(1) - o)), n);
    }
  }

  static void backward(const Problem<T>& p, const Direction<T>& d, int64_t first, int count) {
    const Sequences rows(p, d, first, count);
    const int64_t hidden = p.hidden, stride = panels(hidden) * kLanes;
    const int64_t x_stride = panels(p.features) * kLanes;
    const int64_t operand_stride = panels(4 * hidden) * kLanes;
    const int64_t steps = kBlockRows / count;
    auto d_hidden = scratch<T>(count * stride);
    auto d_cell = scratch<T>(count * stride);
    auto d_input = scratch<T>(kBlockRows * x_stride);
    auto buffer = scratch<Element>(Math::kPerElement > 1 ? kBlockRows * operand_stride : 0);
    const Element* a[kBlockRows];
    for (int r = 0; r < count; ++r) {
      const int64_t from = rows.sequence[r] * hidden;
      std::memcpy(d_hidden.get() + r * stride, d.d_final_hidden + from, hidden * sizeof(T));
      std::memcpy(d_cell.get() + r * stride, d.d_final_cell + from, hidden * sizeof(T));
    }
    for (int64_t end = rows.steps(); end > 0; end -= steps) {
      const int64_t block = end > steps ? end - steps : 0;
      int64_t total = 0;
      for (int64_t s = end - 1; s >= block; --s) {
        const int running = rows.running(s);
        for (int r = 0; r < running; ++r) {
          const int64_t at = rows.at(r, s);
          T* gates = d.gates + at * 4 * hidden;
          // What the next step reads, while this one is computed: the processor does not foresee
          // rows far apart, back in time. With AVX2 at B = 32, T = 500, D = 32, H = 100 on Zen 4
          // the loop takes 0.80 of the time (into the L1 cache, for writing: 0.96). Not a function:
          // GCC takes one that only prefetches for one that does nothing, and drops its calls.
          if (s > 0) {
            const int64_t next = rows.at(r, s - 1);
            const auto fetch = [](const T* row, int64_t size) {
              for (int64_t j = 0; j < size; j += 64 / sizeof(T)) __builtin_prefetch(row + j, 0, 2);
            };
            fetch(d.gates + next * 4 * hidden, 4 * hidden);
            fetch(d.d_outputs + next * hidden, hidden);
            if (s > 1) fetch(d.cells + rows.at(r, s - 2) * hidden, hidden);
          }
          differentiate(gates, hidden, d.cells + at * hidden,
                        rows.before(r, s, d.cells, d.initial_cell), d.d_outputs + at * hidden,
                        d_hidden.get() + r * stride, d_cell.get() + r * stride);
          a[total + r] =
              Math::operand(gates, 4 * hidden, buffer.get() + (total + r) * operand_stride);
        }
        // dh = dz Uᵀ
        std::memset(d_hidden.get(), 0, running * stride * sizeof(T));
        multiply(a + total, running, elements(4 * hidden),
                 static_cast<const Element*>(d.packed_recurrent), panels(hidden), d_hidden.get(),
                 stride, s % 2);
        total += running;
      }
      // dx = dz Wᵀ, for all steps of the block.
      std::memset(d_input.get(), 0, total * x_stride * sizeof(T));
      multiply(a, total, elements(4 * hidden), static_cast<const Element*>(d.packed_input),
               panels(p.features), d_input.get(), x_stride);
      const T* from = d_input.get();
      for (int64_t s = end - 1; s >= block; --s) {
        for (int r = 0; r < rows.running(s); ++r, from += x_stride) {
          std::memcpy(d.d_inputs + rows.at(r, s) * p.features, from, p.features * sizeof(T));
        }
      }
    }
    for (int r = 0; r < count; ++r) {
      const int64_t to = rows.sequence[r] * hidden;
      std::memcpy(d.d_initial_hidden + to, d_hidden.get() + r * stride, hidden * sizeof(T));
      std::memcpy(d.d_initial_cell + to, d_cell.get() + r * stride, hidden * sizeof(T));
    }
    rows.clear_padding(d.d_inputs, p.features);
  }
};

template <typename Math>
constexpr Kernels<typename Math::T> table() {
  using K = Tile<Math>;
  return {kTileRows,  kBlockRows,    K::packed_bytes, K::panels,   K::pack,
          K::forward, K::half_bytes, K::half,         K::backward, Gradient<Math>::gradient};
}

}  // namespace

const Kernels<float> kFloat32 = table<Exact<float>>();
const Kernels<double> kFloat64 = table<Exact<double>>();
#if defined(__AVX512BF16__)
const Kernels<float> kBfloat16 = table<Bfloat16>();
#endif

}  // namespace LSTM_ISA
}  // namespace lstm_cpu
