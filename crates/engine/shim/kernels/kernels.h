// The table of CPU kernels, of which there is one per instruction set.
// Kernels work on channels-last memory, flattened into pixels of `channels` contiguous floats.
// This header must not include a torch header: these files are compiled with flags that must not affect its
// inline functions.
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

// A scanline of a 3 x 3 depthwise convolution with padding 1; `taps` is [9][channels].
struct DepthwiseLine {
  int64_t columns_in;
  int64_t columns_out;
  int64_t channels;
  int64_t stride;
  const float* taps;
};

struct DepthwiseKernels {
  // Computes one output scanline; each input scanline begins and ends with a column of zeros.
  void (*line)(const float* const (&lines)[3], float* y, const DepthwiseLine& shape);
  // Computes the gradient of one input scanline `a`, and adds its part to the gradient of the taps.
  // dy[k] is the output scanline that uses `a` with tap line k, or null.
  void (*gradient)(const float* a, const float* const (&dy)[3], float* da, float* d_taps,
                   const DepthwiseLine& shape);
};

struct NormKernels {
  // sum += Σ (x - pivot), square += Σ (x - pivot)²; `scratch` holds 2 * channels floats.
  void (*moments)(const float* x, int64_t pixels, int64_t channels, const float* pivot, float* scratch,
                  double* sum, double* square);
  void (*scale_shift)(const float* x, float* y, int64_t pixels, int64_t channels, const ScaleShift& norm);
  // sum += Σ g, dot += Σ g (x - mean), where g is the gradient if the activation passes it, else 0.
  void (*gradient_moments)(const float* x, const float* dy, int64_t pixels, int64_t channels,
                           const ScaleShift& norm, const float* mean, float* scratch, double* sum,
                           double* dot);
  void (*input_gradient)(const float* x, const float* dy, float* dx, int64_t pixels, int64_t channels,
                         const ScaleShift& norm, const InputGradient& gradient);
};

// The position of an output line: the input line before it, and its share of the way to the next.
struct Between {
  int32_t first;
  float next_share;
};

// The sizes of a three-channel image before and after, and the positions of the output lines.
struct Resizing {
  int64_t lines_in;
  int64_t columns_in;
  int64_t lines_out;
  int64_t columns_out;
  const Between* lines;
  const Between* columns;
};

struct ResizeKernels {
  // Resizes one image; `scratch` has room for an input line, a pixel and one float, which must be initialized.
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

// The fastest kernels that this processor supports.
inline const Kernels& kernels() {
  static const Kernels chosen = fastest_kernels();
  return chosen;
}

}  // namespace mutualnet
