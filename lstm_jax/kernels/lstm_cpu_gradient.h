// The gradients of kernels and bias, behind the backward pass of lstm_cpu_tile.cc.
//
// Included only there, and so compiled once per instruction set, LSTM_ISA.

#ifndef LSTM_CPU_GRADIENT_H_
#define LSTM_CPU_GRADIENT_H_

#include "lstm_cpu_vector.h"

namespace lstm_cpu {
namespace LSTM_ISA {
namespace {

template <typename Math>
struct Gradient : Products<Math> {
  using typename Products<Math>::T;
  using typename Products<Math>::V;
  using typename Products<Math>::Element;
  using typename Products<Math>::Block;
  using Products<Math>::kLanes;
  using Products<Math>::elements;
  using Products<Math>::panels;

  // dW = Σ xᵀ dz, dU = Σ hᵀ dz and db = Σ dz over all steps of all sequences, for columns
  // [left, right), in vectors. Each column is summed in the order of the sequences.
  static void gradient(const Problem<T>& p, const Direction<T>& d, int64_t left, int64_t right) {
    constexpr int kColumns = columns_for(kRows);
    static const Block* const table = Products<Math>::template block_table<true, kColumns>(
        std::make_integer_sequence<int, kRows * kColumns>());
    const int64_t gates = 4 * p.hidden, stride = (right - left) * kLanes, features = p.features,
                  hidden = p.hidden;
    auto sums = scratch<T>((features + hidden + 1) * stride);  // of dW, dU and db
    auto panel = scratch<Element>(kGradientSteps * kColumns * kLanes);
    const bool convert = Math::kPerElement > 1;
    const int64_t x_stride = panels(features) * kLanes, h_stride = panels(hidden) * kLanes;
    auto buffer = scratch<Element>(convert ? kGradientSteps * (x_stride + h_stride) : 0);
    std::memset(sums.get(), 0, (features + hidden + 1) * stride * sizeof(T));
    T* const bias = sums.get() + (features + hidden) * stride;
    const T *x[kGradientSteps], *h[kGradientSteps], *dz[kGradientSteps];
    const Element *x_elements[kGradientSteps], *h_elements[kGradientSteps];
    int64_t count = 0;

    const auto add = [&](const Element* const* a, int64_t rows, int64_t width, T* to) {
      const int64_t groups = ceil_div(rows, kRows);
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t top = rows * g / groups, height = rows * (g + 1) / groups - top;
        table[(height - 1) * kColumns + width - 1](a, top, elements(count), panel.get(),
                                                   kGradientSteps * kLanes, to + top * stride,
                                                   stride);
      }
    };
    const auto flush = [&] {
      for (int64_t k = 0; k < count; k += Math::kPerElement) {
        const int64_t e = k / Math::kPerElement;
        x_elements[e] = Math::across(x + k, count - k, features, buffer.get() + k * x_stride);
        h_elements[e] = Math::across(h + k, count - k, hidden,
                                     buffer.get() + kGradientSteps * x_stride + k * h_stride);
      }
      const int64_t widths = ceil_div(right - left, kColumns);
      for (int64_t w = 0; w < widths; ++w) {
        const int64_t first = (right - left) * w / widths,
                      width = (right - left) * (w + 1) / widths - first;
        for (int64_t j = 0; j < width; ++j) {
          const int64_t column = (left + first + j) * kLanes, n = gates - column;
          V sum = load(bias + (first + j) * kLanes);
          for (int64_t k = 0; k < count; ++k) {
            sum += load(dz[k] + column, n);
            // The panel is a stripe of a large array, which the processor does not foresee:
            // without this the whole phase takes 1.25 times as long.
            __builtin_prefetch(dz[k] + column + kGradientSteps * gates);
          }
          store(bias + (first + j) * kLanes, sum);
          for (int64_t k = 0; k < count; k += Math::kPerElement) {
            Math::across_vector(
                dz + k, count - k, column, n,
                panel.get() + (j * kGradientSteps + k / Math::kPerElement) * kLanes);
          }
        }
        add(x_elements, features, width, sums.get() + first * kLanes);
        add(h_elements, hidden, width, sums.get() + features * stride + first * kLanes);
      }
      count = 0;
    };
    for (int64_t b = 0; b < p.batch; ++b) {
      for (int64_t t = 0; t < p.lengths[b]; ++t) {
        const int64_t at = b * p.time + t, before = d.reverse ? t + 1 : t - 1;
        x[count] = p.inputs + at * features;
        h[count] = before >= 0 && before < p.lengths[b] ? d.outputs + (b * p.time + before) * hidden
                                                        : d.initial_hidden + b * hidden;
        dz[count] = d.gates + at * gates;
        if (++count == kGradientSteps) flush();
      }
    }
    flush();

    const int64_t column = left * kLanes;
    const int64_t size = (gates - column < stride ? gates - column : stride) * sizeof(T);
    const T* from = sums.get();
    for (int64_t r = 0; r < features; ++r, from += stride) {
      std::memcpy(d.d_input_kernel + r * gates + column, from, size);
    }
    for (int64_t r = 0; r < hidden; ++r, from += stride) {
      std::memcpy(d.d_recurrent_kernel + r * gates + column, from, size);
    }
    std::memcpy(d.d_bias + column, from, size);
  }
};

}  // namespace
}  // namespace LSTM_ISA
}  // namespace lstm_cpu

#endif  // LSTM_CPU_GRADIENT_H_
