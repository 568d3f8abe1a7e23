// XLA's side of the LSTM for GPUs: foreign function handlers, and how a problem is divided among
// blocks of threads. The arithmetic is in lstm_gpu.h.
//
// nvcc makes of this file a library for GPUs. Compiled as plain C++ it runs the same phases, with
// the same indices, on a CPU: slowly, for the tests (tests/test_cuda_kernel.py).

#include "lstm_gpu.h"

#include <algorithm>
#include <new>
#include <string>
#include <type_traits>
#include <vector>

#include "xla/ffi/api/ffi.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#define LSTM_BLOCK __device__ __forceinline__
#else
#define LSTM_BLOCK inline
#endif

namespace lstm_gpu {
namespace {

namespace ffi = xla::ffi;

// ---------------------------------------------------------------------------------------------
// A block
// ---------------------------------------------------------------------------------------------

// A block takes its sequences through all their steps. `threads.each(phase)` has every thread run
// the phase, and returns when all have.
template <class Pass, class Threads>
LSTM_BLOCK void run_block(const Pass& pass, Threads& threads) {
  using Thread = typename Pass::Thread;
  threads.each([&](int t, Thread& own) { pass.begin(t, own); });
  for (int n = 0; n < pass.steps; ++n) {
    threads.each([&](int t, Thread& own) { pass.first_phase(n, t, own); });
    threads.each([&](int t, Thread& own) { pass.second_phase(n, t, own); });
  }
  threads.each([&](int t, Thread& own) { pass.end(t, own); });
}

// How a pass is divided: sequences of a block (0 if it does not fit), threads for each unit, and
// bytes of shared memory.
struct Plan {
  int rows, slices;
  int64_t bytes;
};

// As many threads for a unit as leave room for two sequences, else for one: this does not depend on
// the batch, so neither do the bits of a sequence. Then as few sequences as the GPU has processors
// for, because each further one makes a step longer; where it has too few, as many as fit.
Plan plan_of(bool forward, bool bfloat16, const Problem& problem, int directions, int64_t limit,
             int64_t processors) {
  const int hidden = problem.hidden;
  const auto bytes = [&](int rows, int slices) {
    return Shared(forward, hidden, bfloat16 ? 2 : 4, rows, slices).bytes();
  };
  if (hidden > kMostThreads || bytes(1, 1) > limit) return {0, 0, bytes(1, 1)};
  int slices = kMostSlices, rows = bytes(2, 1) <= limit ? 2 : 1;
  while (slices > 1 && (slices * hidden > kMostThreads || bytes(rows, slices) > limit)) slices /= 2;
  rows = 1;
  while (rows < kMostRows && bytes(2 * rows, slices) <= limit &&
         (problem.batch + rows - 1) / rows * directions > processors) {
    rows *= 2;
  }
  return {rows, slices, bytes(rows, slices)};
}

// ---------------------------------------------------------------------------------------------
// On a GPU, and on a CPU. Each says what the device has, and runs all blocks of a pass.
// ---------------------------------------------------------------------------------------------

#if defined(__CUDACC__)

template <class Pass>
struct GpuThread {
  typename Pass::Thread own;
  template <class Phase>
  __device__ __forceinline__ void each(Phase phase) {
    phase(threadIdx.x, own);
    __syncthreads();
  }
};

template <class Pass>
__global__ void __launch_bounds__(kMostThreads, 1)
    block_of(const __grid_constant__ Problem problem) {
  extern __shared__ Four memory[];
  GpuThread<Pass> threads;
  run_block(Pass(problem, blockIdx.x, blockIdx.y, reinterpret_cast<char*>(memory)), threads);
}

using Context = ffi::PlatformStream<cudaStream_t>;
using Stream = cudaStream_t;

ffi::Error error_of(cudaError_t status) {
  if (status == cudaSuccess) return ffi::Error::Success();
  return ffi::Error::Internal(std::string("the LSTM for GPUs: ") + cudaGetErrorString(status));
}

ffi::Error ask(int64_t& limit, int64_t& processors) {
  int device = 0, bytes = 0, count = 0;
  cudaError_t status = cudaGetDevice(&device);
  if (status == cudaSuccess) {
    status = cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  }
  if (status == cudaSuccess) {
    status = cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  }
  limit = bytes, processors = count;
  return error_of(status);
}

template <class Pass>
ffi::Error launch(Stream& stream, const Problem& problem, const Plan& plan, int directions) {
  const auto kernel = block_of<Pass>;
  const cudaError_t status = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.bytes));
  if (status != cudaSuccess) return error_of(status);
  const dim3 blocks((problem.batch + plan.rows - 1) / plan.rows, directions);
  kernel<<<blocks, problem.hidden * plan.slices, plan.bytes, stream>>>(problem);
  return error_of(cudaGetLastError());
}

#else

// Whether the threads of a phase run from the last to the first. If none depends on another, that
// changes no bit.
bool backward_order = false;
// What the CPU claims to have: the figures of an H100, unless a test sets others.
int64_t claimed_limit = 232448, claimed_processors = 132;

template <class Pass>
struct AllThreads {
  std::vector<typename Pass::Thread> own;
  template <class Phase>
  void each(Phase phase) {
    const int count = own.size();
    for (int t = 0; t < count; ++t) {
      const int thread = backward_order ? count - 1 - t : t;
      phase(thread, own[thread]);
    }
  }
};

using Context = ffi::ThreadPool;  // which it does not use
using Stream = ffi::ThreadPool;

ffi::Error ask(int64_t& limit, int64_t& processors) {
  limit = claimed_limit, processors = claimed_processors;
  return ffi::Error::Success();
}

template <class Pass>
ffi::Error launch(Stream&, const Problem& problem, const Plan& plan, int directions) {
  constexpr std::align_val_t alignment{alignof(Four)};
  for (int64_t tile = 0; tile * plan.rows < problem.batch; ++tile) {
    for (int direction = 0; direction < directions; ++direction) {
      // Exactly as much as is asked of a GPU, so that the address sanitizer sees its end.
      char* const memory = static_cast<char*>(::operator new(plan.bytes, alignment));
      AllThreads<Pass> threads{std::vector<typename Pass::Thread>(problem.hidden * plan.slices)};
      run_block(Pass(problem, tile, direction, memory), threads);
      ::operator delete(memory, alignment);
    }
  }
  return ffi::Error::Success();
}

#endif

// ---------------------------------------------------------------------------------------------
// Handlers. The operands and results of each direction follow the lengths, as gpu.py lists them.
// ---------------------------------------------------------------------------------------------

template <template <class, int> class Pass, class Weights>
ffi::Error launch_rows(Stream& stream, const Problem& problem, const Plan& plan, int directions) {
  switch (plan.rows) {
    case 1:
      return launch<Pass<Weights, 1>>(stream, problem, plan, directions);
    case 2:
      return launch<Pass<Weights, 2>>(stream, problem, plan, directions);
    default:
      return launch<Pass<Weights, kMostRows>>(stream, problem, plan, directions);
  }
}

template <template <class, int> class Pass>
ffi::Error run(Stream& stream, bool bfloat16, Problem& problem, int directions) {
  if (problem.batch == 0 || problem.hidden == 0) return ffi::Error::Success();
  int64_t limit = 0, processors = 0;
  if (ffi::Error error = ask(limit, processors); error.failure()) return error;
  constexpr bool forward = Pass<Float32, 1>::kForward;
  const Plan plan = plan_of(forward, bfloat16, problem, directions, limit, processors);
  if (plan.rows == 0) {
    return ffi::Error::InvalidArgument(
        "H = " + std::to_string(problem.hidden) + " needs " + std::to_string(plan.bytes) +
        " bytes of shared memory, and this GPU has " + std::to_string(limit) +
        "; implementation=\"xla\" has no limit");
  }
  problem.slices = plan.slices;
  return bfloat16 ? launch_rows<Pass, Bfloat16>(stream, problem, plan, directions)
                  : launch_rows<Pass, Float32>(stream, problem, plan, directions);
}

// The operands or results of the directions, one after the other.
template <class List>
struct Reader {
  List list;
  size_t at = 0;
  ffi::AnyBuffer get() {
    if constexpr (std::is_same_v<List, ffi::RemainingArgs>) {
      return list.template get<ffi::AnyBuffer>(at++).value();
    } else {
      return *list.template get<ffi::AnyBuffer>(at++).value();
    }
  }
  operator float*() { return static_cast<float*>(get().untyped_data()); }
};

// What a call got: `fill` is given the readers of each direction's operands and results. The first
// operand of a direction is [B, T, 4H], the second its recurrent kernel [H, 4H].
template <class Fill>
Problem problem_of(int64_t reverse, ffi::Buffer<ffi::S32> lengths, ffi::RemainingArgs args,
                   ffi::RemainingRets rets, int directions, const Fill& fill) {
  Problem problem{};
  problem.batch = lengths.element_count();
  problem.lengths = lengths.typed_data();
  problem.time = args.get<ffi::AnyBuffer>(0).value().dimensions()[1];
  problem.hidden = static_cast<int>(args.get<ffi::AnyBuffer>(1).value().dimensions()[0]);
  Reader<ffi::RemainingArgs> arg{args};
  Reader<ffi::RemainingRets> ret{rets};
  for (int i = 0; i < directions; ++i) {
    problem.directions[i].reverse = reverse >> i & 1;
    fill(problem.directions[i], arg, ret);
  }
  return problem;
}

ffi::Error forward(Stream stream, int64_t reverse, bool bfloat16, ffi::Buffer<ffi::S32> lengths,
                   ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const int directions = args.size() / 4;
  const bool save = rets.size() / directions == 5;  // the backward pass will want gates and cells
  Problem problem =
      problem_of(reverse, lengths, args, rets, directions, [&](Direction& d, auto& arg, auto& ret) {
        d.projected = arg, d.recurrent_kernel = arg, d.initial_hidden = arg, d.initial_cell = arg;
        d.outputs = ret, d.final_hidden = ret, d.final_cell = ret;
        if (save) d.gates = ret, d.cells = ret;
      });
  return run<Forward>(stream, bfloat16, problem, directions);
}

ffi::Error backward(Stream stream, int64_t reverse, bool bfloat16, ffi::Buffer<ffi::S32> lengths,
                    ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const int directions = args.size() / 7;
  Problem problem =
      problem_of(reverse, lengths, args, rets, directions, [&](Direction& d, auto& arg, auto& ret) {
        d.saved_gates = arg, d.recurrent_kernel = arg, d.initial_cell = arg, d.saved_cells = arg;
        d.d_outputs = arg, d.d_final_hidden = arg, d.d_final_cell = arg;
        d.dz = ret, d.d_initial_hidden = ret, d.d_initial_cell = ret;
      });
  return run<Backward>(stream, bfloat16, problem, directions);
}

auto binding() {
  return ffi::Ffi::Bind()
      .Ctx<Context>()
      .Attr<int64_t>("reverse")  // bit i: direction i reads backward
      .Attr<bool>("bfloat16")
      .Arg<ffi::Buffer<ffi::S32>>()  // lengths
      .RemainingArgs()
      .RemainingRets();
}

}  // namespace
}  // namespace lstm_gpu

// A launch needs nothing but its arguments, so XLA may record it once and start it again.
#define LSTM_GPU_HANDLER(name, function)                                        \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name, lstm_gpu::function, lstm_gpu::binding(), \
                                {xla::ffi::Traits::kCmdBufferCompatible})
LSTM_GPU_HANDLER(lstm_gpu_forward, forward);
LSTM_GPU_HANDLER(lstm_gpu_backward, backward);

// Bytes of shared memory without which a layer cannot be trained.
extern "C" int64_t lstm_gpu_shared_bytes(int hidden, bool bfloat16) {
  const auto bytes = [&](bool forward) {
    return lstm_gpu::Shared(forward, hidden, bfloat16 ? 2 : 4, 1, 1).bytes();
  };
  return std::max(bytes(true), bytes(false));
}

#if defined(__CUDACC__)

// The version of CUDA that this was compiled with, and the newest that the driver knows, or 0.
extern "C" int lstm_gpu_cuda() { return CUDART_VERSION; }
extern "C" int lstm_gpu_driver() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

#else

// What the tests set and ask.
extern "C" void lstm_gpu_claim(int64_t limit, int64_t processors, bool backward_order) {
  lstm_gpu::claimed_limit = limit;
  lstm_gpu::claimed_processors = processors;
  lstm_gpu::backward_order = backward_order;
}
extern "C" void lstm_gpu_plan(bool forward, bool bfloat16, int64_t batch, int hidden,
                              int directions, int64_t* plan) {
  lstm_gpu::Problem problem{};
  problem.batch = batch, problem.hidden = hidden;
  const lstm_gpu::Plan found =
      lstm_gpu::plan_of(forward, bfloat16, problem, directions, lstm_gpu::claimed_limit,
                        lstm_gpu::claimed_processors);
  plan[0] = found.rows, plan[1] = found.slices, plan[2] = found.bytes;
}

#endif
