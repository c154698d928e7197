// Batch-norm and activation kernels. Compiled once per instruction set, see build.rs.
// Float accumulators are added to doubles every `FLUSH` pixels, so that the error does not grow with the number of pixels.

#include "kernels.h"
#include "vector.h"

namespace mutualnet {
namespace {

constexpr int64_t FLUSH = 256;
constexpr int64_t UNROLL = 4;

void clear(float* values, int64_t count) { std::memset(values, 0, count * sizeof(float)); }

void empty_into(double* total, const float* part, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    total[i] += part[i];
  }
}

// Calls body(first pixel, number of pixels) for blocks of at most `size` pixels.
template <typename Body>
MUTUALNET_INLINE void in_blocks(int64_t pixels, int64_t size, Body&& body) {
  for (int64_t pixel = 0; pixel < pixels; pixel += size) {
    body(pixel, pixels - pixel < size ? pixels - pixel : size);
  }
}

template <int64_t ROWS>
MUTUALNET_INLINE void moments_of(const float* x, int64_t channels, const float* pivot, float* sum,
                                 float* square) {
  over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
    using V = decltype(lanes);
    V origin = load<V>(pivot + c), s = load<V>(sum + c), q = load<V>(square + c);
    for (int64_t r = 0; r < ROWS; ++r) {
      V centered = load<V>(x + r * channels + c) - origin;
      s += centered;
      q += centered * centered;
    }
    store(sum + c, s);
    store(square + c, q);
  });
}

void moments(const float* x, int64_t pixels, int64_t channels, const float* pivot, float* scratch,
             double* sum, double* square) {
  in_blocks(pixels, FLUSH, [&](int64_t first, int64_t count) {
    clear(scratch, 2 * channels);
    const float* at = x + first * channels;
    int64_t pixel = 0;
    for (; pixel + UNROLL <= count; pixel += UNROLL) {
      moments_of<UNROLL>(at + pixel * channels, channels, pivot, scratch, scratch + channels);
    }
    for (; pixel < count; ++pixel) {
      moments_of<1>(at + pixel * channels, channels, pivot, scratch, scratch + channels);
    }
    empty_into(sum, scratch, channels);
    empty_into(square, scratch + channels, channels);
  });
}

template <typename V>
MUTUALNET_INLINE V scaled(V x, const ScaleShift& norm, int64_t c) {
  return x * load<V>(norm.scale + c) + load<V>(norm.shift + c);
}

// The comparisons of both activations let NaN pass, as in libtorch.
template <typename V>
MUTUALNET_INLINE V clamped(V value, float least, float most) {
  V low = splat<V>(least), high = splat<V>(most);
  value = value < low ? low : value;
  return value > high ? high : value;
}

struct Clamp {
  template <typename V>
  static MUTUALNET_INLINE V of(V value, const ScaleShift& norm) {
    return clamped(value, norm.low, norm.high);
  }

  template <typename V>
  static MUTUALNET_INLINE V gradient(V value, V dy, const ScaleShift& norm) {
    V kept = value <= splat<V>(norm.low) ? V{} : dy;
    return value >= splat<V>(norm.high) ? V{} : kept;
  }
};

struct HardSwish {
  template <typename V>
  static MUTUALNET_INLINE V of(V value, const ScaleShift&) {
    return value * clamped(value + splat<V>(3.0f), 0.0f, 6.0f) * splat<V>(1.0f / 6.0f);
  }

  template <typename V>
  static MUTUALNET_INLINE V gradient(V value, V dy, const ScaleShift&) {
    V rising = dy * (value * splat<V>(1.0f / 3.0f) + splat<V>(0.5f));
    V kept = value <= splat<V>(-3.0f) ? V{} : rising;
    return value >= splat<V>(3.0f) ? dy : kept;
  }
};

template <typename Activation>
MUTUALNET_INLINE void scale_shift_of(const float* x, float* y, int64_t pixels, int64_t channels,
                                     const ScaleShift& norm) {
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    const float* from = x + pixel * channels;
    float* to = y + pixel * channels;
    over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
      using V = decltype(lanes);
      store(to + c, Activation::of(scaled(load<V>(from + c), norm, c), norm));
    });
  }
}

void scale_shift(const float* x, float* y, int64_t pixels, int64_t channels, const ScaleShift& norm) {
  if (norm.is_hard_swish) {
    scale_shift_of<HardSwish>(x, y, pixels, channels, norm);
  } else {
    scale_shift_of<Clamp>(x, y, pixels, channels, norm);
  }
}

template <typename Activation, typename V>
MUTUALNET_INLINE V passed(V x, V dy, const ScaleShift& norm, int64_t c) {
  return Activation::gradient(scaled(x, norm, c), dy, norm);
}

template <typename Activation, int64_t ROWS>
MUTUALNET_INLINE void gradient_moments_of(const float* x, const float* dy, int64_t channels,
                                          const ScaleShift& norm, const float* mean, float* sum,
                                          float* dot) {
  over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
    using V = decltype(lanes);
    V center = load<V>(mean + c), s = load<V>(sum + c), d = load<V>(dot + c);
    for (int64_t r = 0; r < ROWS; ++r) {
      V value = load<V>(x + r * channels + c);
      V g = passed<Activation>(value, load<V>(dy + r * channels + c), norm, c);
      s += g;
      d += g * (value - center);
    }
    store(sum + c, s);
    store(dot + c, d);
  });
}

template <typename Activation>
MUTUALNET_INLINE void gradient_moments_with(const float* x, const float* dy, int64_t pixels, int64_t channels,
                                            const ScaleShift& norm, const float* mean, float* scratch, double* sum,
                                            double* dot) {
  in_blocks(pixels, FLUSH, [&](int64_t first, int64_t count) {
    clear(scratch, 2 * channels);
    const float* xs = x + first * channels;
    const float* dys = dy + first * channels;
    int64_t pixel = 0;
    for (; pixel + UNROLL <= count; pixel += UNROLL) {
      gradient_moments_of<Activation, UNROLL>(xs + pixel * channels, dys + pixel * channels, channels, norm, mean, scratch,
                                  scratch + channels);
    }
    for (; pixel < count; ++pixel) {
      gradient_moments_of<Activation, 1>(xs + pixel * channels, dys + pixel * channels, channels, norm, mean, scratch,
                             scratch + channels);
    }
    empty_into(sum, scratch, channels);
    empty_into(dot, scratch + channels, channels);
  });
}

void gradient_moments(const float* x, const float* dy, int64_t pixels, int64_t channels,
                      const ScaleShift& norm, const float* mean, float* scratch, double* sum,
                      double* dot) {
  if (norm.is_hard_swish) {
    gradient_moments_with<HardSwish>(x, dy, pixels, channels, norm, mean, scratch, sum, dot);
  } else {
    gradient_moments_with<Clamp>(x, dy, pixels, channels, norm, mean, scratch, sum, dot);
  }
}

template <typename Activation>
MUTUALNET_INLINE void input_gradient_with(const float* x, const float* dy, float* dx, int64_t pixels,
                                          int64_t channels, const ScaleShift& norm,
                                          const InputGradient& gradient) {
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    int64_t at = pixel * channels;
    over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
      using V = decltype(lanes);
      V value = load<V>(x + at + c);
      V g = passed<Activation>(value, load<V>(dy + at + c), norm, c);
      V centered = value - load<V>(gradient.mean + c);
      V result = g * load<V>(gradient.gain + c) + load<V>(gradient.offset + c);
      store(dx + at + c, result + centered * load<V>(gradient.slope + c));
    });
  }
}

void input_gradient(const float* x, const float* dy, float* dx, int64_t pixels, int64_t channels,
                    const ScaleShift& norm, const InputGradient& gradient) {
  if (norm.is_hard_swish) {
    input_gradient_with<HardSwish>(x, dy, dx, pixels, channels, norm, gradient);
  } else {
    input_gradient_with<Clamp>(x, dy, dx, pixels, channels, norm, gradient);
  }
}

}  // namespace

const NormKernels& NAMED(norm_kernels_, MUTUALNET_ISA)() {
  static const NormKernels table = {moments, scale_shift, gradient_moments, input_gradient};
  return table;
}

}  // namespace mutualnet
