// The threads of the compiled LSTM: XLA's own, all of them computing by the same rules.

#ifndef LSTM_CPU_THREADS_H_
#define LSTM_CPU_THREADS_H_

#include <algorithm>
#include <atomic>
#include <memory>

#include "xla/ffi/api/ffi.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace lstm_cpu {

// Numbers too small for the exponent become zero on every thread alike: XLA sets this on some of
// its threads and not on others, and the bits must not depend on which of them does the work.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#elif defined(__aarch64__)
  FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" : : "r"(saved_ | (uint64_t{1} << 24)));
  }
  ~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }

 private:
  uint64_t saved_;
#else
  FlushDenormals() {}
#endif
};

// Runs work(0), ..., work(units - 1) on this thread and those of XLA's pool that are free. Each
// takes the next unit when it is done with one, so a thread that the system holds up delays only
// its own unit. This thread never waits for one that has not begun, which may be behind it in the
// same pool: it does such work itself, and a thread that comes too late finds none.
template <typename Work>
void parallel_for(xla::ffi::ThreadPool& pool, int64_t units, const Work& work) {
  struct Shared {
    std::atomic<int64_t> next{0}, done{0};
  };
  auto shared = std::make_shared<Shared>();
  const auto take = [units, &work](Shared& shared) {
    FlushDenormals flush;
    for (int64_t unit; (unit = shared.next.fetch_add(1)) < units;) {
      work(unit);
      if (shared.done.fetch_add(1) + 1 == units) shared.done.notify_all();
    }
  };
  const int64_t helpers = std::min(pool.num_threads(), units) - 1;
  for (int64_t i = 0; i < helpers; ++i) {
    pool.Schedule([shared, take] { take(*shared); });  // touches `work` only if it got a unit
  }
  take(*shared);
  for (int64_t done; (done = shared->done.load()) < units;) shared->done.wait(done);
}

}  // namespace lstm_cpu

#endif  // LSTM_CPU_THREADS_H_
