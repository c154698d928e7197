// The table of CPU kernels, one instance per instruction set.
// Everything works on rows of `channels` contiguous floats: channels-last memory, flattened.
// No torch header here: these files are compiled with flags that must not leak into its inlines.
#pragma once

#include <cstdint>

namespace mutualnet {

// y = min(max(x * scale + shift, low), high), per channel.
struct ScaleShift {
  const float* scale;
  const float* shift;
  float low;
  float high;
};

// Coefficients of the input gradient: masked * gain + (x - mean) * slope + offset, per channel.
struct InputGradient {
  const float* gain;
  const float* slope;
  const float* offset;
  const float* mean;
};

struct Kernels {
  // sum += Σ (x - pivot), square += Σ (x - pivot)²; `scratch` holds 2 * channels floats.
  void (*moments)(const float* x, int64_t rows, int64_t channels, const float* pivot, float* scratch,
                  double* sum, double* square);
  void (*scale_shift)(const float* x, float* y, int64_t rows, int64_t channels, const ScaleShift& norm);
  // With g the gradient where the activation passes it: sum += Σ g, dot += Σ g (x - mean).
  void (*gradient_moments)(const float* x, const float* dy, int64_t rows, int64_t channels,
                           const ScaleShift& norm, const float* mean, float* scratch, double* sum,
                           double* dot);
  void (*input_gradient)(const float* x, const float* dy, float* dx, int64_t rows, int64_t channels,
                         const ScaleShift& norm, const InputGradient& gradient);
};

const Kernels& kernels_baseline();
#if defined(__x86_64__)
const Kernels& kernels_avx2();
const Kernels& kernels_avx512();
#endif

// The fastest that this processor runs.
inline const Kernels& kernels() {
#if defined(__x86_64__)
  static const Kernels& chosen =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") ? kernels_avx512()
      : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")       ? kernels_avx2()
                                                                              : kernels_baseline();
  return chosen;
#else
  return kernels_baseline();
#endif
}

}  // namespace mutualnet
