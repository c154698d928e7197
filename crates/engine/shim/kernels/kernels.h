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

// A row of a 3 x 3 depthwise convolution with padding 1; `taps` is [9][channels].
struct DepthwiseRow {
  int64_t columns_in;
  int64_t columns_out;
  int64_t channels;
  int64_t stride;
  const float* taps;
};

struct DepthwiseKernels {
  // One output row; each input row begins and ends with a column of zeros.
  void (*row)(const float* const (&rows)[3], float* y, const DepthwiseRow& shape);
  // One input row `a`: its gradient, and += its part of the taps' gradient.
  // dy[k] is the output row that tap row k carried `a` to, or null.
  void (*gradient)(const float* a, const float* const (&dy)[3], float* da, float* d_taps,
                   const DepthwiseRow& shape);
};

struct NormKernels {
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

// Where a row or column of the output lies: after which one of the input, and how near to the next.
struct Between {
  int32_t first;
  float next_share;
};

// Sizes of an image of three channels, before and after, and where what comes out lies.
struct Resizing {
  int64_t rows_in;
  int64_t columns_in;
  int64_t rows_out;
  int64_t columns_out;
  const Between* rows;
  const Between* columns;
};

struct ResizeKernels {
  // One image; `scratch` holds a row of the input, a pixel and one float, which are numbers.
  void (*image)(const float* image, float* y, float* scratch, const Resizing& sizes);
};

struct Kernels {
  const NormKernels& norm;
  const DepthwiseKernels& depthwise;
  const ResizeKernels& resize;
};

#define MUTUALNET_DECLARE(isa)                       \
  const NormKernels& norm_kernels_##isa();           \
  const DepthwiseKernels& depthwise_kernels_##isa(); \
  const ResizeKernels& resize_kernels_##isa();
#define MUTUALNET_TABLE(isa) Kernels{norm_kernels_##isa(), depthwise_kernels_##isa(), resize_kernels_##isa()}

MUTUALNET_DECLARE(baseline)
#if defined(__x86_64__)
MUTUALNET_DECLARE(avx2)
MUTUALNET_DECLARE(avx512)
#endif

inline Kernels fastest_kernels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
    return MUTUALNET_TABLE(avx512);
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return MUTUALNET_TABLE(avx2);
  }
#endif
  return MUTUALNET_TABLE(baseline);
}

// The fastest that this processor runs.
inline const Kernels& kernels() {
  static const Kernels chosen = fastest_kernels();
  return chosen;
}

}  // namespace mutualnet
