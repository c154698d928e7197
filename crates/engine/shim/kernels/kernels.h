// The table of CPU kernels, of which there is one per instruction set.
// Kernels work on channels-last memory, flattened into pixels of `channels` contiguous floats.
// This header must not include a torch header: these files are compiled with flags that must not affect its
// inline functions.
#pragma once

#include <cstdint>

namespace mutualnet {

// y = activation(x * scale + shift), per channel. The activation is min(max(v, low), high), or hard swish, which is
// v * min(max(v + 3, 0), 6) / 6.
struct ScaleShift {
  const float* scale;
  const float* shift;
  float low;
  float high;
  bool is_hard_swish;
};

// Coefficients of the input gradient: masked * gain + (x - mean) * slope + offset, per channel.
struct InputGradient {
  const float* gain;
  const float* slope;
  const float* offset;
  const float* mean;
};

// The most lines of taps that a depthwise kernel has: 3 x 3 of them for clips.
constexpr int64_t MOST_LINES = 9;

// A scanline of a depthwise convolution with lines of 3 or 5 taps, padded so that a stride of 1 keeps the size; `taps` is
// [lines][kernel][channels].
struct DepthwiseLine {
  int64_t columns_in;
  int64_t columns_out;
  int64_t channels;
  int64_t lines;
  int64_t kernel;
  int64_t stride;
  int64_t dilation;
  const float* taps;

  int64_t padding() const { return kernel / 2 * dilation; }
};

struct DepthwiseKernels {
  // Computes one output scanline from one input scanline per line of taps, or null for one of zeros; each begins and ends
  // with columns of zeros, as many as the padding.
  void (*line)(const float* const (&lines)[MOST_LINES], float* y, const DepthwiseLine& shape);
  // Computes the gradient of one input scanline `a`, and adds its part to the gradient of the taps.
  // dy[k] is the output scanline that uses `a` with line k of the taps, or null.
  void (*gradient)(const float* a, const float* const (&dy)[MOST_LINES], float* da, float* d_taps,
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

// The label of a pixel without a class.
constexpr int32_t NO_CLASS = 255;

// The positions of the pixels of a line in a coarser one: `next_share` of the way from `first` to the next.
struct PixelColumns {
  const int32_t* first;
  const float* next_share;
  int64_t count;
};

// A line of pixels with their labels. Its scores are [classes][pixels].
struct PixelLine {
  int64_t classes;
  int64_t pixels;
  const int32_t* labels;
};

struct PixelKernels {
  // Interpolates a line; there must be a number after the last one of `row`.
  void (*expand)(const float* row, const PixelColumns& columns, float* y);
  // y = a + share * (b - a)
  void (*blend)(const float* a, const float* b, float share, float* y, int64_t n);
  // a += (1 - share) * y, b += share * y
  void (*add_shares)(const float* y, float share, float* a, float* b, int64_t n);
  // Computes the probabilities of the classes, and the logarithm of the sum of exponentials of each pixel.
  // `scratch` has room for a number per pixel.
  void (*softmax)(const float* scores, float* probabilities, float* log_sum, float* scratch,
                  const PixelLine& line);
  // Adds the cross-entropy of each pixel to `loss`, and turns probabilities into the gradient of their scores.
  void (*cross_entropy)(const float* scores, float* gradient, const float* log_sum, float smoothing, float* loss,
                        const PixelLine& line);
  // The same for the divergence from a teacher with the probabilities `target`; `log_sums` are those of the student, then
  // of the teacher.
  void (*kl_divergence)(const float* student, const float* teacher, float* gradient, const float* target,
                        const float* log_sums, float* loss, const PixelLine& line);
  // Adds probabilities to `sums` and entropies to `entropies`, pixel by pixel.
  void (*entropy)(const float* scores, const float* probabilities, const float* log_sum, float* sums,
                  float* entropies, const PixelLine& line);
  // The class with the largest score of each pixel, the first of several; `scratch` as in `softmax`.
  void (*answers)(const float* scores, int32_t* best, float* scratch, const PixelLine& line);
};

struct Kernels {
  const NormKernels& norm;
  const DepthwiseKernels& depthwise;
  const ResizeKernels& resize;
  const PixelKernels& pixels;
};

#define MUTUALNET_DECLARE(isa)                       \
  const NormKernels& norm_kernels_##isa();           \
  const DepthwiseKernels& depthwise_kernels_##isa(); \
  const ResizeKernels& resize_kernels_##isa();       \
  const PixelKernels& pixel_kernels_##isa();
#define MUTUALNET_TABLE(isa)                                                                  \
  Kernels{norm_kernels_##isa(), depthwise_kernels_##isa(), resize_kernels_##isa(), pixel_kernels_##isa()}

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
