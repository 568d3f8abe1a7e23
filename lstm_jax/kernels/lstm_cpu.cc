// XLA's side of the compiled LSTM: foreign function handlers, and how work is divided among threads.
// The arithmetic is in lstm_cpu_tile.cc.

#include "lstm_cpu.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <numeric>
#include <type_traits>
#include <vector>

#include "lstm_cpu_choice.h"
#include "lstm_cpu_threads.h"
#include "xla/ffi/api/ffi.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace lstm_cpu {

void* allocate(int64_t bytes) {
  void* const memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

namespace {

namespace ffi = xla::ffi;

// Asks for large pages under a buffer that is about to be written.
void advise(ffi::AnyBuffer buffer) {
#if defined(__linux__)
  constexpr uintptr_t page = 1 << 21;
  const uintptr_t start = reinterpret_cast<uintptr_t>(buffer.untyped_data());
  const uintptr_t first = (start + page - 1) / page * page,
                  end = (start + buffer.size_bytes()) / page * page;
  if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#endif
}

// ---------------------------------------------------------------------------------------------
// The two passes
// ---------------------------------------------------------------------------------------------

// Whether a second thread for a sequence is worth it: not for a while after one was held up by the
// system, which has others to run; twice as long each time that it happens again.
class Patience {
 public:
  bool has() const { return Clock::now() >= until_.load(); }
  void found(bool in_time) {
    if (in_time) {
      pause_ = kLeast;
    } else {
      until_ = Clock::now() + pause_.load();
      pause_ = std::min(2 * pause_.load(), kMost);
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr Clock::duration kLeast = std::chrono::milliseconds(5),
                                   kMost = std::chrono::seconds(1);
  std::atomic<Clock::time_point> until_{Clock::time_point::min()};
  std::atomic<Clock::duration> pause_{kLeast};
};
Patience patience;

template <typename T>
class Pass {
 public:
  Pass(ffi::ThreadPool& pool, bool bfloat16, Problem<T> problem, const int32_t* lengths,
       std::vector<Direction<T>> directions)
      : pool_(pool),
        kernels_(kernels<T>(bfloat16)),
        problem_(problem),
        directions_(std::move(directions)),
        lengths_(lengths, lengths + problem.batch),
        order_(problem.batch) {
    for (int32_t& length : lengths_) length = std::clamp<int64_t>(length, 0, problem.time);
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(),
                     [this](int a, int b) { return lengths_[a] > lengths_[b]; });
    problem_.lengths = lengths_.data();
    problem_.order = order_.data();
  }

  void forward() {
    if (shared()) return halves();
    pack(/*transposed=*/false);
    tiles([&](const Direction<T>& d, int64_t first, int rows) {
      kernels_.forward(problem_, d, first, rows);
    });
  }

  void backward() {
    pack(/*transposed=*/true);
    tiles([&](const Direction<T>& d, int64_t first, int rows) {
      kernels_.backward(problem_, d, first, rows);
    });
  }

  // Each unit of work is a range of columns: wide, so that the inputs are read from memory by few
  // of them, but not wider than what leaves its sums in the L2 cache.
  void gradient() {
    const int64_t panels = kernels_.panels(4 * problem_.hidden);
    const int64_t bytes = kernels_.packed_bytes(problem_.features + problem_.hidden, 1);
    const int64_t units = units_for((panels * bytes + kSumBytes - 1) / kSumBytes, panels);
    parallel_for(pool_, count() * units, [&](int64_t index) {
      const int64_t unit = index / count();
      kernels_.gradient(problem_, directions_[index % count()], panels * unit / units,
                        panels * (unit + 1) / units);
    });
  }

 private:
  static constexpr int64_t kSumBytes = 1 << 19;
  static constexpr size_t kSharedBytes = 96 << 10;
  static constexpr int64_t kSharedSteps = 64;

  int64_t count() const { return directions_.size(); }

  // The parts to divide each direction's work into: at least `wanted`, at most `limit`, and a
  // number that the threads can share evenly.
  int64_t units_for(int64_t wanted, int64_t limit) const {
    const int64_t threads = std::max<int64_t>(1, pool_.num_threads());
    int64_t units = std::min(std::max<int64_t>(1, wanted), limit);
    while (units < limit && units * count() % threads != 0) ++units;
    return units;
  }

  // Once per call: at B = 32, T = 500, D = 32, H = 100 it takes 1 % of the forward pass.
  void pack(bool transposed) {
    const int64_t gates = 4 * problem_.hidden, features = problem_.features,
                  hidden = problem_.hidden;
    const auto bytes = [&](int64_t rows) {
      const int64_t size =
          transposed ? kernels_.packed_bytes(gates, rows) : kernels_.packed_bytes(rows, gates);
      return (size + 63) / 64 * 64;
    };
    const int64_t each = bytes(features) + bytes(hidden);
    packed_.reset(allocate(count() * each));
    char* const memory = static_cast<char*>(packed_.get());
    for (int64_t d = 0; d < count(); ++d) {
      directions_[d].packed_input = memory + d * each;
      directions_[d].packed_recurrent = memory + d * each + bytes(features);
    }
    const int64_t input_panels = kernels_.panels(transposed ? features : gates);
    const int64_t units = input_panels + kernels_.panels(transposed ? hidden : gates);
    parallel_for(pool_, count() * units, [&](int64_t index) {
      const Direction<T>& d = directions_[index / units];
      const int64_t unit = index % units;
      const bool input = unit < input_panels;
      const T* matrix = input ? d.input_kernel : d.recurrent_kernel;
      void* packed = input ? d.packed_input : d.packed_recurrent;
      const int64_t rows = input ? features : hidden, panel = input ? unit : unit - input_panels;
      if (transposed) {
        kernels_.pack(matrix, gates, rows, 1, gates, panel, packed);
      } else {
        kernels_.pack(matrix, rows, gates, gates, 1, panel, packed);
      }
    });
  }

  // Whether each sequence is worth two threads: there are so many, and in a step they read enough of
  // the kernels to make up for waiting for each other. docs/explanation/cpu-kernel.md has the measurements.
  bool shared() const {
    return 2 * count() * problem_.batch <= pool_.num_threads() && problem_.time >= kSharedSteps &&
           4 * problem_.hidden * problem_.hidden * sizeof(T) >= kSharedBytes &&
           patience.has();
  }

  // The forward pass with two threads for each sequence, each with half of the units.
  void halves() {
    parallel_for(pool_, count() * problem_.batch, [&](int64_t index) {
      const Direction<T>& direction = directions_[index % count()];
      const int sequence = index / count();
      constexpr int64_t lanes = 64 / sizeof(T);
      const int64_t hidden = problem_.hidden, stride = (hidden + lanes - 1) / lanes * lanes;
      const int64_t middle = hidden / 2 / lanes * lanes;
      const int64_t bytes[] = {kernels_.half_bytes(problem_, middle),
                               kernels_.half_bytes(problem_, hidden - middle)};
      const Memory<void> memory(allocate(2 * stride * sizeof(T) + bytes[0] + bytes[1]), &std::free);
      T* const h = static_cast<T*>(memory.get());
      char* const own = reinterpret_cast<char*>(h + 2 * stride);
      const Half<T> halves[] = {{sequence, 0, middle, h, stride, own},
                                {sequence, middle, hidden - middle, h, stride, own + bytes[0]}};
      const auto turns_of = [&](const Half<T>& half) {
        return [&](int64_t turn) { kernels_.half(problem_, direction, half, turn); };
      };
      const int64_t turns = lengths_[order_[sequence]] + 2;
      patience.found(in_turns(pool_, turns, turns_of(halves[0]), turns_of(halves[1])));
    });
  }

  // Runs `work` on tiles of nearly equal heights, as many as the threads can share evenly; the
  // longest sequences first, so that the last ones to finish are short.
  template <typename Work>
  void tiles(const Work& work) {
    const int64_t batch = problem_.batch;
    if (batch == 0) return;
    const int64_t tiles = units_for((batch + kernels_.tile_rows - 1) / kernels_.tile_rows, batch);
    parallel_for(pool_, tiles * count(), [&](int64_t unit) {
      const int64_t tile = unit / count(), first = batch * tile / tiles;
      work(directions_[unit % count()], first, batch * (tile + 1) / tiles - first);
    });
  }

  ffi::ThreadPool& pool_;
  const Kernels<T>& kernels_;
  Problem<T> problem_;
  std::vector<Direction<T>> directions_;
  std::vector<int32_t> lengths_, order_;
  Memory<void> packed_{nullptr, &std::free};
};

// ---------------------------------------------------------------------------------------------
// Handlers. The operands and results of each direction follow those that the directions share;
// cpu.py has the same lists.
// ---------------------------------------------------------------------------------------------

template <typename T>
Problem<T> problem_of(ffi::AnyBuffer inputs, ffi::AnyBuffer recurrent_kernel) {
  const auto shape = inputs.dimensions();
  return {shape[0],
          shape[1],
          shape[2],
          recurrent_kernel.dimensions()[0],
          static_cast<const T*>(inputs.untyped_data()),
          nullptr,
          nullptr};
}

// The operands or results of one direction, one after the other.
template <typename T, typename List>
class Reader {
 public:
  Reader(List list, size_t at) : list_(list), at_(at) {}
  operator T*() { return static_cast<T*>(get().untyped_data()); }
  ffi::AnyBuffer get() {
    if constexpr (std::is_same_v<List, ffi::RemainingArgs>) {
      return list_.template get<ffi::AnyBuffer>(at_++).value();
    } else {
      return *list_.template get<ffi::AnyBuffer>(at_++).value();
    }
  }

 private:
  List list_;
  size_t at_;
};

// What a call got for its directions: `fill` is given the readers of each one's operands and results.
template <typename T, typename Fill>
std::vector<Direction<T>> directions_of(int64_t reverse, ffi::RemainingArgs args,
                                        ffi::RemainingRets rets, size_t operands,
                                        const Fill& fill) {
  const size_t count = args.size() / operands, results = rets.size() / count;
  std::vector<Direction<T>> directions(count);
  for (size_t i = 0; i < count; ++i) {
    directions[i].reverse = reverse >> i & 1;
    Reader<T, ffi::RemainingArgs> arg(args, i * operands);
    Reader<T, ffi::RemainingRets> ret(rets, i * results);
    fill(directions[i], arg, ret);
  }
  return directions;
}

template <typename T>
void forward(ffi::ThreadPool& pool, int64_t reverse, bool bfloat16, ffi::AnyBuffer inputs,
             const int32_t* lengths, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  constexpr size_t operands = 5;
  const bool save = rets.size() == args.size();  // the backward pass will want gates and cells
  const auto directions = directions_of<T>(
      reverse, args, rets, operands, [save](Direction<T>& d, auto& arg, auto& ret) {
        d.input_kernel = arg, d.recurrent_kernel = arg, d.bias = arg;
        d.initial_hidden = arg, d.initial_cell = arg;
        d.outputs = ret, d.final_hidden = ret, d.final_cell = ret;
        if (save) d.gates = ret, d.cells = ret;
      });
  for (size_t i = 0; i < rets.size(); ++i) advise(*rets.get<ffi::AnyBuffer>(i).value());
  const auto kernel = args.get<ffi::AnyBuffer>(1).value();
  Pass<T>(pool, bfloat16, problem_of<T>(inputs, kernel), lengths, directions).forward();
}

template <typename T>
void backward(ffi::ThreadPool& pool, int64_t reverse, bool bfloat16, ffi::AnyBuffer inputs,
              const int32_t* lengths, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const auto directions =
      directions_of<T>(reverse, args, rets, 8, [](Direction<T>& d, auto& arg, auto& ret) {
        d.input_kernel = arg, d.recurrent_kernel = arg, d.initial_cell = arg;
        const ffi::AnyBuffer gates = arg.get();
        d.cells = arg, d.d_outputs = arg, d.d_final_hidden = arg, d.d_final_cell = arg;
        d.d_inputs = ret, d.d_initial_hidden = ret, d.d_initial_cell = ret;
        d.gates = ret;  // becomes dz; cpu.py asks for the same memory
        if (d.gates != gates.untyped_data()) {
          std::copy_n(static_cast<const T*>(gates.untyped_data()), gates.element_count(), d.gates);
        }
      });
  const auto kernel = args.get<ffi::AnyBuffer>(1).value();
  Pass<T>(pool, bfloat16, problem_of<T>(inputs, kernel), lengths, directions).backward();
}

template <typename T>
void gradient(ffi::ThreadPool& pool, int64_t reverse, bool bfloat16, ffi::AnyBuffer inputs,
              const int32_t* lengths, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const auto directions =
      directions_of<T>(reverse, args, rets, 3, [](Direction<T>& d, auto& arg, auto& ret) {
        d.initial_hidden = arg, d.outputs = arg, d.gates = arg;
        d.d_input_kernel = ret, d.d_recurrent_kernel = ret, d.d_bias = ret;
      });
  ffi::Result<ffi::AnyBuffer> kernel = rets.get<ffi::AnyBuffer>(1).value();
  Pass<T>(pool, bfloat16, problem_of<T>(inputs, *kernel), lengths, directions).gradient();
}

enum class What { kForward, kBackward, kGradient };

template <What what>
ffi::Error handle(ffi::ThreadPool pool, int64_t reverse, bool bfloat16, ffi::AnyBuffer inputs,
                  ffi::Buffer<ffi::S32> lengths, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    constexpr auto* function = what == What::kForward    ? &forward<T>
                               : what == What::kBackward ? &backward<T>
                                                         : &gradient<T>;
    try {
      function(pool, reverse, bfloat16, inputs, lengths.typed_data(), args, rets);
    } catch (const std::bad_alloc&) {
      return ffi::Error(ffi::ErrorCode::kResourceExhausted,
                        "the compiled LSTM could not allocate the memory that it works in");
    }
    return ffi::Error::Success();
  };
  switch (inputs.element_type()) {
    case ffi::F32:
      return run(float{});
    case ffi::F64:
      return run(double{});
    default:
      return ffi::Error::InvalidArgument("the compiled LSTM takes float32 and float64");
  }
}

auto binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Attr<int64_t>("reverse")  // bit i: direction i reads backward
      .Attr<bool>("bfloat16")
      .Arg<ffi::AnyBuffer>()         // inputs
      .Arg<ffi::Buffer<ffi::S32>>()  // lengths
      .RemainingArgs()
      .RemainingRets();
}

}  // namespace
}  // namespace lstm_cpu

#define LSTM_CPU_HANDLER(name, what) \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name, lstm_cpu::handle<lstm_cpu::What::what>, lstm_cpu::binding())
LSTM_CPU_HANDLER(lstm_cpu_forward, kForward);
LSTM_CPU_HANDLER(lstm_cpu_backward, kBackward);
LSTM_CPU_HANDLER(lstm_cpu_gradient, kGradient);

extern "C" const char* lstm_cpu_isa() { return lstm_cpu::kSet.name; }
