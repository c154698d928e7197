// What the fused operations share: how pixels are cut into chunks, channel statistics, and the folded
// normalization. The chunks depend only on the number of pixels, so results do not depend on the number of threads.
#pragma once

#include "kernels/kernels.h"
#include "ranks.h"

#include <torch/csrc/autograd/custom_function.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

constexpr int64_t CHUNK_ELEMENTS = 1 << 16;
constexpr int64_t MOST_CHUNKS = 64;

struct Pixels {
  int64_t count;
  int64_t channels;
  int64_t chunk;

  explicit Pixels(const at::Tensor& x) : count(x.numel() / x.size(1)), channels(x.size(1)) {
    int64_t chunks = std::clamp(count * channels / CHUNK_ELEMENTS, int64_t{1}, MOST_CHUNKS);
    chunk = (count + chunks - 1) / chunks;
  }

  int64_t chunks() const { return (count + chunk - 1) / chunk; }

  // Calls body(chunk, offset of its first element, its number of pixels).
  template <typename Body>
  void each(Body&& body) const {
    at::parallel_for(0, chunks(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        body(i, i * chunk * channels, std::min(chunk, count - i * chunk));
      }
    });
  }

  // Computes two sums per channel, within each chunk and then in the order of the chunks.
  template <typename Body>
  std::vector<double> two_sums(Body&& body) const {
    std::vector<double> parts(chunks() * 2 * channels, 0.0);
    std::vector<float> scratch(chunks() * 2 * channels);
    each([&](int64_t i, int64_t offset, int64_t pixels) {
      double* sums = parts.data() + i * 2 * channels;
      body(offset, pixels, scratch.data() + i * 2 * channels, sums, sums + channels);
    });
    for (int64_t i = 1; i < chunks(); ++i) {
      for (int64_t c = 0; c < 2 * channels; ++c) {
        parts[c] += parts[i * 2 * channels + c];
      }
    }
    parts.resize(2 * channels);
    return parts;
  }
};

inline at::MemoryFormat channels_last_of(const at::Tensor& x) {
  return x.dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
}

// The activation that follows a normalization: a clamp to an interval, or hard swish.
struct Limits {
  double low;
  double high;
  bool is_hard_swish;
};

inline void save(torch::autograd::AutogradContext* ctx, Limits limits) {
  ctx->saved_data["low"] = limits.low;
  ctx->saved_data["high"] = limits.high;
  ctx->saved_data["is_hard_swish"] = limits.is_hard_swish;
}

inline Limits saved_limits(torch::autograd::AutogradContext* ctx) {
  return {ctx->saved_data["low"].toDouble(), ctx->saved_data["high"].toDouble(),
          ctx->saved_data["is_hard_swish"].toBool()};
}

// Computes the mean and the inverse deviation of every channel, and updates the running statistics.
struct Statistics {
  at::Tensor mean;
  at::Tensor inverse;

  Statistics(const at::Tensor& x, const at::Tensor& running_mean, const at::Tensor& running_variance,
             double momentum, double epsilon)
      : mean(at::empty({x.size(1)}, x.options())), inverse(at::empty({x.size(1)}, x.options())) {
    Pixels pixels(x);
    const float* from = x.const_data_ptr<float>();
    std::vector<double> sums = pixels.two_sums(
        [&](int64_t offset, int64_t count, float* scratch, double* sum, double* square) {
          mutualnet::kernels().norm.moments(from + offset, count, pixels.channels, from, scratch, sum, square);
        });
    float* running_m = running_mean.defined() ? running_mean.data_ptr<float>() : nullptr;
    float* running_v = running_variance.defined() ? running_variance.data_ptr<float>() : nullptr;
    double n = static_cast<double>(pixels.count);
    std::vector<double> center(from, from + pixels.channels);
    if (mutualnet::shares_norms()) {
      share(sums, center, n);
    }
    TORCH_CHECK(n > 1, "expected more than 1 value per channel when training");
    for (int64_t c = 0; c < pixels.channels; ++c) {
      double shift = sums[c] / n;
      double m = center[c] + shift;
      double v = std::max(sums[pixels.channels + c] / n - shift * shift, 0.0);
      mean.data_ptr<float>()[c] = static_cast<float>(m);
      inverse.data_ptr<float>()[c] = static_cast<float>(1.0 / std::sqrt(v + epsilon));
      if (running_m != nullptr) {
        running_m[c] = static_cast<float>((1.0 - momentum) * running_m[c] + momentum * m);
        running_v[c] = static_cast<float>((1.0 - momentum) * running_v[c] + momentum * v * n / (n - 1.0));
      }
    }
  }

 private:
  // Adds the two sums and the number of pixels of the other ranks. Every rank has a center of its own, so that the sums are
  // moved to 0 before; in double precision nothing is lost.
  static void share(std::vector<double>& sums, std::vector<double>& center, double& n) {
    const size_t channels = center.size();
    for (size_t c = 0; c < channels; ++c) {
      sums[channels + c] += center[c] * (2.0 * sums[c] + n * center[c]);
      sums[c] += n * center[c];
      center[c] = 0.0;
    }
    sums.push_back(n);
    mutualnet::sum_over_ranks(sums);
    n = sums.back();
  }
};

// Scale and shift of the whole normalization, in one buffer.
inline std::vector<float> folded(const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                          const at::Tensor& inverse) {
  int64_t channels = mean.size(0);
  std::vector<float> both(2 * channels);
  for (int64_t c = 0; c < channels; ++c) {
    both[c] = weight.const_data_ptr<float>()[c] * inverse.const_data_ptr<float>()[c];
    both[channels + c] = bias.const_data_ptr<float>()[c] - mean.const_data_ptr<float>()[c] * both[c];
  }
  return both;
}

inline mutualnet::ScaleShift norm_of(const std::vector<float>& both, Limits limits) {
  return {both.data(), both.data() + both.size() / 2, static_cast<float>(limits.low),
          static_cast<float>(limits.high), limits.is_hard_swish};
}

inline at::Tensor normalized(const at::Tensor& x, const std::vector<float>& both, Limits limits) {
  at::Tensor y = at::empty_like(x);
  Pixels pixels(x);
  mutualnet::ScaleShift norm = norm_of(both, limits);
  const float* from = x.const_data_ptr<float>();
  float* to = y.data_ptr<float>();
  pixels.each([&](int64_t, int64_t offset, int64_t count) {
    mutualnet::kernels().norm.scale_shift(from + offset, to + offset, count, pixels.channels, norm);
  });
  return y;
}

// What backward needs of the normalization of one tensor.
struct NormPass {
  at::Tensor x, weight, bias, mean, inverse;
  Limits limits;

  std::vector<float> scale_and_shift() const { return folded(weight, bias, mean, inverse); }

  std::vector<double> gradient_sums(const at::Tensor& dy, const mutualnet::ScaleShift& norm) const {
    Pixels pixels(x);
    const float* xs = x.const_data_ptr<float>();
    const float* dys = dy.const_data_ptr<float>();
    const float* center = mean.const_data_ptr<float>();
    return pixels.two_sums([&](int64_t offset, int64_t count, float* scratch, double* sum, double* dot) {
      mutualnet::kernels().norm.gradient_moments(xs + offset, dys + offset, count, pixels.channels, norm,
                                                 center, scratch, sum, dot);
    });
  }

  // Computes the gradients of x, weight and bias from that of the output and its two sums per channel.
  // `dx` may be `dy`.
  std::vector<at::Tensor> gradients(const at::Tensor& dy, at::Tensor dx, const std::vector<float>& both,
                                    const std::vector<double>& sums) const {
    Pixels pixels(x);
    at::Tensor d_weight = at::empty_like(weight), d_bias = at::empty_like(weight);
    std::vector<float> slope(pixels.channels), offset_of(pixels.channels);
    // The statistics depend on the pixels of all ranks that share them; weight and bias get the gradient of this one.
    std::vector<double> all(sums.begin(), sums.begin() + 2 * pixels.channels);
    all.push_back(static_cast<double>(pixels.count));
    if (mutualnet::shares_norms()) {
      mutualnet::sum_over_ranks(all);
    }
    double n = all.back();
    for (int64_t c = 0; c < pixels.channels; ++c) {
      double deviation = inverse.const_data_ptr<float>()[c];
      d_weight.data_ptr<float>()[c] = static_cast<float>(sums[pixels.channels + c] * deviation);
      d_bias.data_ptr<float>()[c] = static_cast<float>(sums[c]);
      slope[c] = static_cast<float>(-both[c] * deviation * deviation * all[pixels.channels + c] / n);
      offset_of[c] = static_cast<float>(-both[c] * all[c] / n);
    }
    mutualnet::ScaleShift norm = norm_of(both, limits);
    mutualnet::InputGradient gradient{both.data(), slope.data(), offset_of.data(),
                                      mean.const_data_ptr<float>()};
    const float* xs = x.const_data_ptr<float>();
    const float* dys = dy.const_data_ptr<float>();
    float* dxs = dx.data_ptr<float>();
    pixels.each([&](int64_t, int64_t offset, int64_t count) {
      mutualnet::kernels().norm.input_gradient(xs + offset, dys + offset, dxs + offset, count, pixels.channels,
                                               norm, gradient);
    });
    return {dx, d_weight, d_bias};
  }
};

inline void check_channels(const at::Tensor& x, const at::Tensor& vector) {
  TORCH_CHECK(vector.dim() == 1 && vector.size(0) == x.size(1) && vector.is_contiguous() &&
                  vector.scalar_type() == at::kFloat && vector.device().is_cpu(),
              "a per-channel value of shape ", vector.sizes(), " for ", x.size(1), " channels");
}

// The same as `RawNorm` on the Rust side.
struct NormSettings {
  double momentum;
  double epsilon;
  double low;
  double high;
  int is_hard_swish;

  Limits limits() const { return {low, high, is_hard_swish != 0}; }
};

// The statistics of one checked call; the running ones may both be null.
inline Statistics batch_statistics(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                   at::Tensor* running_mean, at::Tensor* running_variance,
                                   const NormSettings& settings) {
  check_channels(x, weight);
  check_channels(x, bias);
  at::Tensor none;
  if (running_mean == nullptr) {
    return Statistics(x.detach(), none, none, settings.momentum, settings.epsilon);
  }
  check_channels(x, *running_mean);
  check_channels(x, *running_variance);
  return Statistics(x.detach(), *running_mean, *running_variance, settings.momentum, settings.epsilon);
}

inline std::vector<float> fixed_scale_and_shift(const at::Tensor& x, const at::Tensor& weight,
                                                const at::Tensor& bias, const at::Tensor& mean,
                                                const at::Tensor& variance, double epsilon) {
  for (const at::Tensor* vector : {&weight, &bias, &mean, &variance}) {
    check_channels(x, *vector);
  }
  return folded(weight, bias, mean, variance.add(epsilon).rsqrt());
}

}  // namespace
