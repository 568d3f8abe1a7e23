// The arithmetic of the LSTM for GPUs, as phases of a block of threads. Between two phases all
// threads of the block wait for each other. lstm_gpu.cu runs the phases on a GPU; compiled as plain
// C++ the same source runs them on a CPU, one thread after the other, for the tests.
//
// Letters as in lstm_jax/shapes.py: B batch, T time, H hidden units; gates in the order i, f, g, o.
// All arrays are row-major. docs/explanation/gpu-kernel.md says why it is done this way.

#ifndef LSTM_GPU_H_
#define LSTM_GPU_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define LSTM_BOTH __host__ __device__ __forceinline__
#define LSTM_UNROLL _Pragma("unroll")
#define LSTM_UNROLL_TWICE _Pragma("unroll 2")
#else
#define LSTM_BOTH inline
#define LSTM_UNROLL
#define LSTM_UNROLL_TWICE
#endif

namespace lstm_gpu {

constexpr int kMostThreads = 512;  // of a block: so each may have 128 registers
constexpr int kMostRows = 4;       // sequences of a block
constexpr int kMostSlices = 8;     // threads that share the sum of one unit

// N numbers that are loaded at once.
template <int N>
struct alignas(4 * N) Floats {
  float at[N];
};
using Four = Floats<4>;

// ---------------------------------------------------------------------------------------------
// Numbers: how the recurrent kernel is kept, and the activations
// ---------------------------------------------------------------------------------------------

// The weights of one unit's gates as they are, and what they are multiplied by.
struct Float32 {
  using Stored = Four;
  LSTM_BOTH static Stored stored(const Four& weights) { return weights; }
  LSTM_BOTH static Four read(const Stored& weights) { return weights; }
  LSTM_BOTH static float rounded(float x) { return x; }
};

// Rounded to bfloat16, to the nearest number and to the even one of two; the sums are float32.
struct Bfloat16 {
  struct alignas(8) Stored {
    uint16_t at[4];
  };
  LSTM_BOTH static uint16_t bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(u >> 16 | 0x40);  // a NaN
    return static_cast<uint16_t>((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
  LSTM_BOTH static float number(uint16_t bits) {
    const uint32_t u = static_cast<uint32_t>(bits) << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
  }
  LSTM_BOTH static Stored stored(const Four& weights) {
    Stored result;
    LSTM_UNROLL for (int g = 0; g < 4; ++g) result.at[g] = bits(weights.at[g]);
    return result;
  }
  LSTM_BOTH static Four read(const Stored& weights) {
    Four result;
    LSTM_UNROLL for (int g = 0; g < 4; ++g) result.at[g] = number(weights.at[g]);
    return result;
  }
  LSTM_BOTH static float rounded(float x) { return number(bits(x)); }
};

LSTM_BOTH float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// ---------------------------------------------------------------------------------------------
// The problem, and how it is divided
// ---------------------------------------------------------------------------------------------

// One direction of reading: what the forward pass reads and writes, then what the backward pass
// does.
struct Direction {
  bool reverse;
  const float* recurrent_kernel;               // [H, 4H]
  const float *initial_hidden, *initial_cell;  // [B, H]
  const float* projected;                      // x W + b [B, T, 4H]
  float* outputs;                              // [B, T, H]
  float *final_hidden, *final_cell;            // [B, H]
  float *gates, *cells;  // [B, T, 4H] after their activations, [B, T, H] after each step; or null

  const float *saved_gates, *saved_cells;
  const float *d_outputs, *d_final_hidden, *d_final_cell;
  float* dz;  // [B, T, 4H]
  float *d_initial_hidden, *d_initial_cell;
};

struct Problem {
  int64_t batch, time;
  int hidden, slices;      // slices is a power of two
  const int32_t* lengths;  // [B], anything; clamped to 0..T
  Direction directions[2];
};

// The parts of the memory that the threads of a block share: the recurrent kernel, then places of
// four numbers, then single ones. One kind holds what enters the product, for each unit and row: h,
// or the four parts of dz. The other holds its sums over a slice: of the four gates, or of dh.
struct Shared {
  int64_t kernel, fours, ones;  // bytes of each part
  LSTM_BOTH Shared(bool forward, int hidden, int weight_bytes, int rows, int slices)
      : kernel((int64_t{4} * hidden * hidden * weight_bytes + 15) / 16 * 16),
        fours(int64_t{16} * hidden * rows * (forward ? slices - 1 : 1)),
        ones(int64_t{4} * hidden * rows * (forward ? 1 : slices - 1)) {}
  LSTM_BOTH int64_t bytes() const { return kernel + fours + ones; }
};

// What a block computes: R sequences of one direction, at all their steps.
template <class Weights, int R>
struct Tile {
  const Problem& problem;
  const Direction& direction;
  int64_t first;   // its first sequence
  int hidden, slices;
  int length[R];   // 0 for a sequence behind the last one
  int steps;       // of the longest
  typename Weights::Stored* kernel;
  Four* fours;
  float* ones;

  LSTM_BOTH Tile(bool forward, const Problem& problem, int64_t tile, int direction, char* memory)
      : problem(problem),
        direction(problem.directions[direction]),
        first(tile * R),
        hidden(problem.hidden),
        slices(problem.slices),
        steps(0) {
    const Shared shared(forward, hidden, sizeof(typename Weights::Stored) / 4, R, slices);
    kernel = reinterpret_cast<typename Weights::Stored*>(memory);
    fours = reinterpret_cast<Four*>(memory + shared.kernel);
    ones = reinterpret_cast<float*>(memory + shared.kernel + shared.fours);
    LSTM_UNROLL for (int r = 0; r < R; ++r) {
      const int64_t given = first + r < problem.batch ? problem.lengths[first + r] : 0;
      length[r] = static_cast<int>(given < 0 ? 0 : given > problem.time ? problem.time : given);
      steps = length[r] > steps ? length[r] : steps;
    }
  }

  LSTM_BOTH bool has(int r) const { return first + r < problem.batch; }
  // The thread of a unit that applies its activations in row r, of those that share its sum.
  LSTM_BOTH bool owns(int slice, int r) const { return (r & (slices - 1)) == slice; }
  LSTM_BOTH int64_t state(int r, int unit) const { return (first + r) * hidden + unit; }
  // Which of the B * T steps comes as number `step` in row r.
  LSTM_BOTH int64_t place(int r, int step) const {
    return (first + r) * problem.time + (direction.reverse ? length[r] - 1 - step : step);
  }
  // The part of a sum over units that a thread has.
  LSTM_BOTH int begin_of(int slice) const { return slice * hidden / slices; }
  // Where thread `slice` leaves its sum of row r for the thread that owns the row.
  LSTM_BOTH int left_at(int slice, int r, int unit) const {
    const int other = (slice - r - 1) & (slices - 1);  // 0 .. slices - 2
    return (other * R + r) * hidden + unit;
  }
  LSTM_BOTH void clear_padding(float* array, int columns, int t) const {
    LSTM_UNROLL for (int r = 0; r < R; ++r) {
      if (!has(r)) continue;
      float* const row = array + (first + r) * problem.time * columns;
      const int64_t end = problem.time * columns;
      for (int64_t n = int64_t{length[r]} * columns + t; n < end; n += hidden * slices) row[n] = 0;
    }
  }
};

// ---------------------------------------------------------------------------------------------
// The forward pass
// ---------------------------------------------------------------------------------------------

template <class Weights, int R>
struct Forward : Tile<Weights, R> {
  static constexpr bool kForward = true;
  using Tile<Weights, R>::hidden, Tile<Weights, R>::slices, Tile<Weights, R>::length;
  using Tile<Weights, R>::direction, Tile<Weights, R>::kernel, Tile<Weights, R>::fours;

  // What a thread keeps from phase to phase: cells of the rows that it owns.
  struct Thread {
    int unit, slice;
    Four sums[R], projected[R];
    float cell[R];
  };

  LSTM_BOTH Forward(const Problem& problem, int64_t tile, int direction, char* memory)
      : Tile<Weights, R>(true, problem, tile, direction, memory) {}

  LSTM_BOTH Floats<R>* inputs() const { return reinterpret_cast<Floats<R>*>(this->ones); }

  LSTM_BOTH void begin(int t, Thread& own) const {
    own.unit = t % hidden, own.slice = t / hidden;
    for (int n = t; n < hidden * hidden; n += hidden * slices) {
      const float* const row = direction.recurrent_kernel + int64_t{n / hidden} * 4 * hidden;
      Four weights;
      LSTM_UNROLL for (int g = 0; g < 4; ++g) weights.at[g] = row[g * hidden + n % hidden];
      kernel[n] = Weights::stored(weights);
    }
    LSTM_UNROLL for (int r = 0; r < R; ++r) {
      if (!this->owns(own.slice, r)) continue;
      const int64_t at = this->state(r, own.unit);
      const float h = this->has(r) ? direction.initial_hidden[at] : 0;
      own.cell[r] = this->has(r) ? direction.initial_cell[at] : 0;
      inputs()[own.unit].at[r] = Weights::rounded(h);
      if (this->has(r) && length[r] == 0) direction.final_hidden[at] = h;
    }
  }

  // h U of a slice. What the next phase reads of global memory is on its way meanwhile.
  LSTM_BOTH void first_phase(int n, int, Thread& own) const {
    LSTM_UNROLL for (int r = 0; r < R; ++r) {
      own.sums[r] = {};
      if (!this->owns(own.slice, r) || n >= length[r]) continue;
      const float* const z = direction.projected + this->place(r, n) * 4 * hidden + own.unit;
      LSTM_UNROLL for (int g = 0; g < 4; ++g) own.projected[r].at[g] = z[int64_t{g} * hidden];
    }
    const int end = this->begin_of(own.slice + 1);
    for (int k = this->begin_of(own.slice); k < end; ++k) {
      const Four weights = Weights::read(kernel[k * hidden + own.unit]);
      const Floats<R> h = inputs()[k];
      LSTM_UNROLL for (int r = 0; r < R; ++r) {
        LSTM_UNROLL for (int g = 0; g < 4; ++g) own.sums[r].at[g] += h.at[r] * weights.at[g];
      }
    }
    LSTM_UNROLL for (int r = 0; r < R; ++r) {
      if (!this->owns(own.slice, r)) fours[this->left_at(own.slice, r, own.unit)] = own.sums[r];
    }
  }

  // The activations and the new state.
  LSTM_BOTH void second_phase(int n, int, Thread& own) const {
    LSTM_UNROLL for (int r = 0; r < R; ++r) {
      if (!this->owns(own.slice, r) || n >= length[r]) continue;
      Four z = own.projected[r];
      for (int s = 0; s < slices; ++s) {  // always in this order, whoever owns the row
        const Four sum = s == own.slice ? own.sums[r] : fours[this->left_at(s, r, own.unit)];
        LSTM_UNROLL for (int g = 0; g < 4; ++g) z.at[g] += sum.at[g];
      }
      const float i = sigmoid(z.at[0]), f = sigmoid(z.at[1]);
      const float g = tanhf(z.at[2]), o = sigmoid(z.at[3]);
      own.cell[r] = f * own.cell[r] + i * g;
      const float h = o * tanhf(own.cell[r]);
      inputs()[own.unit].at[r] = Weights::rounded(h);
      const int64_t at = this->place(r, n);
      direction.outputs[at * hidden + own.unit] = h;
      if (direction.gates != nullptr) {
        float* const gates = direction.gates + at * 4 * hidden + own.unit;
        gates[0] = i, gates[hidden] = f, gates[2 * hidden] = g, gates[3 * hidden] = o;
        direction.cells[at * hidden + own.unit] = own.cell[r];
      }
      if (n + 1 == length[r]) direction.final_hidden[this->state(r, own.unit)] = h;
    }
  }

  LSTM_BOTH void end(int t, Thread& own) const {
    LSTM_UNROLL for (int r = 0; r < R; ++r) {
      if (this->owns(own.slice, r) && this->has(r)) {
        direction.final_cell[this->state(r, own.unit)] = own.cell[r];
      }
    }
    this->clear_padding(direction.outputs, hidden, t);
    if (direction.gates == nullptr) return;
    this->clear_padding(direction.gates, 4 * hidden, t);
    this->clear_padding(direction.cells, hidden, t);
  }
};

// ---------------------------------------------------------------------------------------------
// The backward pass
// ---------------------------------------------------------------------------------------------

template <class Weights, int R>
struct Backward : Tile<Weights, R> {
  static constexpr bool kForward = false;
  using Tile<Weights, R>::hidden, Tile<Weights, R>::slices, Tile<Weights, R>::length;
  using Tile<Weights, R>::direction, Tile<Weights, R>::kernel, Tile<Weights, R>::fours;
  using Tile<Weights, R>::ones, Tile<Weights, R>::steps;

  struct Thread {
    int unit, slice;
    float sums[R];
    // Of the rows that it owns: gradients at the state, the cell state of the step, and what that
    // step reads of global memory.
    float d_hidden[R], d_cell[R], cell[R], cell_before[R], d_output[R];
    Four gates[R];
  };

  LSTM_BOTH Backward(const Problem& problem, int64_t tile, int direction, char* memory)
      : Tile<Weights, R>(false, problem, tile, direction, memory) {}

  LSTM_BOTH void fetch(int step, Thread& own) const {
    LSTM_UNROLL for (int r = 0; r < R; ++r) {
      if (!this->owns(own.slice, r) || step < 0 || step >= length[r]) continue;
      const int64_t at = this->place(r, step), row = this->state(r, own.unit);
      const float* const gates = direction.saved_gates + at * 4 * hidden + own.unit;
      LSTM_UNROLL for (int g = 0; g < 4; ++g) own.gates[r].at[g] = gates[int64_t{g} * hidden];
      own.d_output[r] = direction.d_outputs[at * hidden + own.unit];
      own.cell_before[r] =
          step == 0 ? direction.initial_cell[row]
                    : direction.saved_cells[this->place(r, step - 1) * hidden + own.unit];
    }
  }

  LSTM_BOTH void begin(int t, Thread& own) const {
    own.unit = t % hidden, own.slice = t / hidden;
    for (int n = t; n < hidden * hidden; n += hidden * slices) {  // transposed
      const float* const row = direction.recurrent_kernel + int64_t{n % hidden} * 4 * hidden;
      Four weights;
      LSTM_UNROLL for (int g = 0; g < 4; ++g) weights.at[g] = row[g * hidden + n / hidden];
      kernel[n] = Weights::stored(weights);
    }
    LSTM_UNROLL for (int r = 0; r < R; ++r) {
      if (!this->owns(own.slice, r)) continue;
      fours[r * hidden + own.unit] = {};
      if (!this->has(r)) continue;
      const int64_t at = this->state(r, own.unit);
      own.d_hidden[r] = direction.d_final_hidden[at];
      own.d_cell[r] = direction.d_final_cell[at];
      if (length[r] == 0) continue;
      own.cell[r] = direction.saved_cells[this->place(r, length[r] - 1) * hidden + own.unit];
    }
    fetch(steps - 1, own);
  }

  // The gradient at the state before `step`, from the sums of its slices.
  LSTM_BOTH void collect(int r, Thread& own) const {
    float sum = 0;
    for (int s = 0; s < slices; ++s) {
      sum += s == own.slice ? own.sums[r] : ones[this->left_at(s, r, own.unit)];
    }
    own.d_hidden[r] = sum;
  }

  // The gradients at the preactivations.
  LSTM_BOTH void first_phase(int n, int, Thread& own) const {
    const int step = steps - 1 - n;
    LSTM_UNROLL for (int r = 0; r < R; ++r) {
      if (!this->owns(own.slice, r) || step >= length[r]) continue;
      if (step + 1 < length[r]) collect(r, own);
      const float i = own.gates[r].at[0], f = own.gates[r].at[1];
      const float g = own.gates[r].at[2], o = own.gates[r].at[3];
      const float shown = tanhf(own.cell[r]), dh = own.d_hidden[r] + own.d_output[r];
      const float dc = own.d_cell[r] + dh * o * (1 - shown * shown);
      const Four dz = {{dc * g * i * (1 - i), dc * own.cell_before[r] * f * (1 - f),
                        dc * i * (1 - g * g), dh * shown * o * (1 - o)}};
      own.d_cell[r] = dc * f;
      own.cell[r] = own.cell_before[r];
      float* const left = direction.dz + this->place(r, step) * 4 * hidden + own.unit;
      Four factor;
      LSTM_UNROLL for (int k = 0; k < 4; ++k) {
        left[int64_t{k} * hidden] = dz.at[k];
        factor.at[k] = Weights::rounded(dz.at[k]);
      }
      fours[r * hidden + own.unit] = factor;
    }
  }

  // dz Uᵀ of a slice, while the next step's numbers are on their way.
  LSTM_BOTH void second_phase(int n, int, Thread& own) const {
    fetch(steps - 2 - n, own);
    LSTM_UNROLL for (int r = 0; r < R; ++r) own.sums[r] = 0;
    const int end = this->begin_of(own.slice + 1);
    LSTM_UNROLL_TWICE  // by four, which nvcc chooses, four sequences would not fit the registers
    for (int k = this->begin_of(own.slice); k < end; ++k) {
      const Four weights = Weights::read(kernel[k * hidden + own.unit]);
      LSTM_UNROLL for (int r = 0; r < R; ++r) {
        const Four dz = fours[r * hidden + k];
        LSTM_UNROLL for (int g = 0; g < 4; ++g) own.sums[r] += dz.at[g] * weights.at[g];
      }
    }
    LSTM_UNROLL for (int r = 0; r < R; ++r) {
      if (!this->owns(own.slice, r)) ones[this->left_at(own.slice, r, own.unit)] = own.sums[r];
    }
  }

  LSTM_BOTH void end(int t, Thread& own) const {
    LSTM_UNROLL for (int r = 0; r < R; ++r) {
      if (!this->owns(own.slice, r) || !this->has(r)) continue;
      if (length[r] > 0) collect(r, own);
      direction.d_initial_hidden[this->state(r, own.unit)] = own.d_hidden[r];
      direction.d_initial_cell[this->state(r, own.unit)] = own.d_cell[r];
    }
    this->clear_padding(direction.dz, 4 * hidden, t);
  }
};

}  // namespace lstm_gpu

#endif  // LSTM_GPU_H_
