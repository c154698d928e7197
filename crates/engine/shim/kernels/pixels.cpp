// Lines of pixels with a score per class, for the losses of segmentation. Compiled once per instruction set.
// The scores of a line lie class by class, so that every loop below goes over pixels and is vectorized by the compiler.

#include "kernels.h"

#include <bit>

namespace mutualnet {
namespace {

#define RESTRICT __restrict__

// e^x for x <= 0, with a relative error below 2e-7; NaN stays NaN.
// e^x = 2^n e^r with |r| <= ln(2) / 2; the polynomial and the two parts of ln(2) are those of Cephes' expf.
inline float exp_of(float x) {
  x = x < -87.0f ? -87.0f : x;
  // Adding and taking away 1.5 * 2^23 rounds to an integer.
  float n = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f;
  float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

// ln(x) for normal x >= 1, with an absolute error below 2e-7; NaN stays NaN. The polynomial is that of Cephes' logf.
inline float log_of(float x) {
  int32_t bits = std::bit_cast<int32_t>(x);
  // x = 2^e m with m between the square roots of 1/2 and 2.
  int32_t e = (bits - 0x3f3504f3) >> 23;
  float m = std::bit_cast<float>(bits - static_cast<int32_t>(static_cast<uint32_t>(e) << 23)) - 1.0f;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  float n = static_cast<float>(e);
  float log = (p * m * m * m + n * -2.12194440e-4f - 0.5f * m * m) + m + n * 0.693359375f;
  return x == x ? log : x;
}

void expand(const float* RESTRICT row, const PixelColumns& columns, float* RESTRICT y) {
  const int32_t* RESTRICT first = columns.first;
  const float* RESTRICT share = columns.next_share;
  for (int64_t i = 0; i < columns.count; ++i) {
    float a = row[first[i]];
    y[i] = a + share[i] * (row[first[i] + 1] - a);
  }
}

void blend(const float* RESTRICT a, const float* RESTRICT b, float share, float* RESTRICT y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = a[i] + share * (b[i] - a[i]);
  }
}

void add_shares(const float* RESTRICT y, float share, float* RESTRICT a, float* RESTRICT b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    float part = share * y[i];
    a[i] += y[i] - part;
    b[i] += part;
  }
}

void softmax(const float* RESTRICT scores, float* RESTRICT probabilities, float* RESTRICT log_sum,
             float* RESTRICT scratch, const PixelLine& line) {
  int64_t n = line.pixels;
  float* RESTRICT largest = scratch;
  for (int64_t i = 0; i < n; ++i) {
    largest[i] = scores[i];
    log_sum[i] = 0.0f;
  }
  for (int64_t c = 1; c < line.classes; ++c) {
    const float* RESTRICT s = scores + c * n;
    for (int64_t i = 0; i < n; ++i) {
      largest[i] = s[i] > largest[i] ? s[i] : largest[i];
    }
  }
  for (int64_t c = 0; c < line.classes; ++c) {
    const float* RESTRICT s = scores + c * n;
    float* RESTRICT p = probabilities + c * n;
    for (int64_t i = 0; i < n; ++i) {
      float e = exp_of(s[i] - largest[i]);
      p[i] = e;
      log_sum[i] += e;
    }
  }
  for (int64_t c = 0; c < line.classes; ++c) {
    float* RESTRICT p = probabilities + c * n;
    for (int64_t i = 0; i < n; ++i) {
      p[i] /= log_sum[i];
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    log_sum[i] = largest[i] + log_of(log_sum[i]);
  }
}

void cross_entropy(const float* RESTRICT scores, float* RESTRICT gradient, const float* RESTRICT log_sum,
                   float smoothing, float* RESTRICT loss, const PixelLine& line) {
  int64_t n = line.pixels;
  const int32_t* RESTRICT labels = line.labels;
  float spread = smoothing / static_cast<float>(line.classes), rest = 1.0f - smoothing;
  for (int64_t c = 0; c < line.classes; ++c) {
    const float* RESTRICT s = scores + c * n;
    float* RESTRICT g = gradient + c * n;
    int32_t own = static_cast<int32_t>(c);
    for (int64_t i = 0; i < n; ++i) {
      float target = labels[i] == own ? rest + spread : spread;
      bool counts = labels[i] != NO_CLASS;
      loss[i] += counts ? target * (log_sum[i] - s[i]) : 0.0f;
      g[i] = counts ? g[i] - target : 0.0f;
    }
  }
}

void kl_divergence(const float* RESTRICT student, const float* RESTRICT teacher, float* RESTRICT gradient,
                   const float* RESTRICT target, const float* RESTRICT log_sums, float* RESTRICT loss,
                   const PixelLine& line) {
  int64_t n = line.pixels;
  const int32_t* RESTRICT labels = line.labels;
  const float* RESTRICT own_sum = log_sums;
  const float* RESTRICT teacher_sum = log_sums + n;
  for (int64_t c = 0; c < line.classes; ++c) {
    const float* RESTRICT s = student + c * n;
    const float* RESTRICT t = teacher + c * n;
    const float* RESTRICT p = target + c * n;
    float* RESTRICT g = gradient + c * n;
    for (int64_t i = 0; i < n; ++i) {
      bool counts = labels[i] != NO_CLASS;
      loss[i] += counts ? p[i] * ((t[i] - teacher_sum[i]) - (s[i] - own_sum[i])) : 0.0f;
      g[i] = counts ? g[i] - p[i] : 0.0f;
    }
  }
}

void entropy(const float* RESTRICT scores, const float* RESTRICT probabilities, const float* RESTRICT log_sum,
             float* RESTRICT sums, float* RESTRICT entropies, const PixelLine& line) {
  int64_t n = line.pixels;
  const int32_t* RESTRICT labels = line.labels;
  for (int64_t c = 0; c < line.classes; ++c) {
    const float* RESTRICT s = scores + c * n;
    const float* RESTRICT p = probabilities + c * n;
    float* RESTRICT sum = sums + c * n;
    for (int64_t i = 0; i < n; ++i) {
      bool counts = labels[i] != NO_CLASS;
      sum[i] += counts ? p[i] : 0.0f;
      entropies[i] += counts ? p[i] * (log_sum[i] - s[i]) : 0.0f;
    }
  }
}

void answers(const float* RESTRICT scores, int32_t* RESTRICT best, float* RESTRICT scratch, const PixelLine& line) {
  int64_t n = line.pixels;
  float* RESTRICT largest = scratch;
  for (int64_t i = 0; i < n; ++i) {
    largest[i] = scores[i];
    best[i] = 0;
  }
  for (int64_t c = 1; c < line.classes; ++c) {
    const float* RESTRICT s = scores + c * n;
    int32_t own = static_cast<int32_t>(c);
    for (int64_t i = 0; i < n; ++i) {
      bool better = s[i] > largest[i];
      largest[i] = better ? s[i] : largest[i];
      best[i] = better ? own : best[i];
    }
  }
}

}  // namespace

#define CONCATENATE(a, b) a##b
#define NAMED(prefix, isa) CONCATENATE(prefix, isa)

const PixelKernels& NAMED(pixel_kernels_, MUTUALNET_ISA)() {
  static const PixelKernels table = {expand,        blend,         add_shares, softmax,
                                     cross_entropy, kl_divergence, entropy,    answers};
  return table;
}

}  // namespace mutualnet
