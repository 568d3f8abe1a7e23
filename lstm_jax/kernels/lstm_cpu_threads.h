// The threads of the compiled LSTM: XLA's own, all of them computing by the same rules.

#ifndef LSTM_CPU_THREADS_H_
#define LSTM_CPU_THREADS_H_

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <new>
#include <thread>
#include <utility>

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
// same pool: it does such work itself, and a thread that comes too late finds none. What a unit
// throws is thrown here, after all of them have ended; those that have not begun by then do nothing.
template <typename Work>
void parallel_for(xla::ffi::ThreadPool& pool, int64_t units, const Work& work) {
  struct Shared {
    std::atomic<int64_t> next{0}, done{0};
    std::atomic<bool> failed{false};
    std::exception_ptr failure;  // of the thread that set `failed`; read when all units are done
  };
  auto shared = std::make_shared<Shared>();
  const auto take = [units, &work](Shared& shared) {
    FlushDenormals flush;
    for (int64_t unit; (unit = shared.next.fetch_add(1)) < units;) {
      try {
        if (!shared.failed.load(std::memory_order_relaxed)) work(unit);
      } catch (...) {
        if (!shared.failed.exchange(true)) shared.failure = std::current_exception();
      }
      if (shared.done.fetch_add(1) + 1 == units) shared.done.notify_all();
    }
  };
  const int64_t helpers = std::min(pool.num_threads(), units) - 1;
  try {
    for (int64_t i = 0; i < helpers; ++i) {
      pool.Schedule([shared, take] { take(*shared); });  // touches `work` only if it got a unit
    }
  } catch (const std::bad_alloc&) {  // fewer threads then
  }
  take(*shared);
  for (int64_t done; (done = shared->done.load()) < units;) shared->done.wait(done);
  if (shared->failure) std::rethrow_exception(shared->failure);
}

// Waits until `count` is `least`, for another thread that is about to see to it. Returns whether it
// took so short that the system cannot have held that one up.
inline bool wait_for(const std::atomic<int64_t>& count, int64_t least) {
  constexpr int kBusy = 1 << 6, kPauses = 1 << 16;  // some milliseconds
  for (int spins = 0; count.load(std::memory_order_acquire) < least; ++spins) {
    if (spins < kBusy) continue;
    if (spins > kPauses) {
      while (count.load(std::memory_order_acquire) < least) std::this_thread::yield();
      return false;
    }
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  return true;
}

// Takes `turns` turns, each of them first(turn) and second(turn), both of which need all of the turn
// before. This thread does the first, and the second too until a thread of XLA's pool comes to take
// it over, if one does. Returns false if the system held that one up: then `second` came back to
// this thread, for it would be so again. Neither may throw.
template <typename First, typename Second>
bool in_turns(xla::ffi::ThreadPool& pool, int64_t turns, const First& first, const Second& second) {
  struct Shared {  // each number on a cache line for one thread to write
    alignas(64) std::atomic<int64_t> here{0};  // 1 when the other thread has come
    alignas(64) std::atomic<int64_t> handed{0};  // 1 when it may take the turns [from, until)
    int64_t from = 0;
    std::atomic<int64_t> until{0};
    alignas(64) std::atomic<int64_t> firsts{0};  // turns of which `first` is done
    alignas(64) std::atomic<int64_t> seconds{0};
  };
  auto shared = std::make_shared<Shared>();
  auto help = [shared, &second] {  // touches `second` only in its turns, which are waited for
    shared->here.store(1, std::memory_order_release);
    wait_for(shared->handed, 1);
    FlushDenormals flush;
    for (int64_t turn = shared->from; turn < shared->until; ++turn) {
      wait_for(shared->firsts, turn);
      if (turn >= shared->until) break;
      second(turn);
      shared->seconds.store(turn + 1, std::memory_order_release);
    }
  };
  try {
    pool.Schedule(std::move(help));
  } catch (const std::bad_alloc&) {  // then this thread takes all turns
  }
  FlushDenormals flush;
  int64_t from = turns, until = turns;
  const auto hand_over = [&](int64_t turn) {
    shared->from = from = turn;
    shared->until = until;
    shared->handed.store(1, std::memory_order_release);
  };
  for (int64_t turn = 0; turn < turns; ++turn) {
    if (from == turns && shared->here.load(std::memory_order_acquire)) hand_over(turn);
    const bool in_time = wait_for(shared->seconds, turn);
    if (!in_time && until == turns) shared->until = until = turn + 1;
    first(turn);
    shared->firsts.store(turn + 1, std::memory_order_release);
    if (turn < from || turn >= until) {
      wait_for(shared->seconds, turn);
      second(turn);
      shared->seconds.store(turn + 1, std::memory_order_release);
    }
  }
  if (from == turns) hand_over(turns);
  wait_for(shared->seconds, turns);
  return until == turns;
}

}  // namespace lstm_cpu

#endif  // LSTM_CPU_THREADS_H_
