// Batch norm and its activation as one differentiable operation for channels-last floats on the CPU.
// Forward reads the input twice and writes once; nothing but the input is kept for backward.
// Rows are cut into chunks by their number alone, so results do not depend on the thread count.

#include "guard.h"
#include "kernels/kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

using mutualnet::kernels;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t CHUNK_ELEMENTS = 1 << 16;
constexpr int64_t MOST_CHUNKS = 64;

struct Rows {
  int64_t count;
  int64_t channels;
  int64_t chunk;

  explicit Rows(const at::Tensor& x) : count(x.numel() / x.size(1)), channels(x.size(1)) {
    int64_t chunks = std::clamp(count * channels / CHUNK_ELEMENTS, int64_t{1}, MOST_CHUNKS);
    chunk = (count + chunks - 1) / chunks;
  }

  int64_t chunks() const { return (count + chunk - 1) / chunk; }

  // body(chunk, offset of its first element, its number of rows)
  template <typename Body>
  void each(Body&& body) const {
    at::parallel_for(0, chunks(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        body(i, i * chunk * channels, std::min(chunk, count - i * chunk));
      }
    });
  }

  // Two sums per channel, chunk by chunk and then in the order of the chunks.
  template <typename Body>
  std::vector<double> two_sums(Body&& body) const {
    std::vector<double> parts(chunks() * 2 * channels, 0.0);
    std::vector<float> scratch(chunks() * 2 * channels);
    each([&](int64_t i, int64_t offset, int64_t rows) {
      double* sums = parts.data() + i * 2 * channels;
      body(offset, rows, scratch.data() + i * 2 * channels, sums, sums + channels);
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

at::MemoryFormat channels_last_of(const at::Tensor& x) {
  return x.dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
}

struct Limits {
  double low;
  double high;
};

// Mean and inverse deviation of every channel, and the running ones brought forward.
struct Statistics {
  at::Tensor mean;
  at::Tensor inverse;

  Statistics(const at::Tensor& x, const at::Tensor& running_mean, const at::Tensor& running_variance,
             double momentum, double epsilon)
      : mean(at::empty({x.size(1)}, x.options())), inverse(at::empty({x.size(1)}, x.options())) {
    Rows rows(x);
    TORCH_CHECK(rows.count > 1, "expected more than 1 value per channel when training");
    const float* from = x.const_data_ptr<float>();
    std::vector<double> sums = rows.two_sums(
        [&](int64_t offset, int64_t count, float* scratch, double* sum, double* square) {
          kernels().moments(from + offset, count, rows.channels, from, scratch, sum, square);
        });
    float* running_m = running_mean.defined() ? running_mean.data_ptr<float>() : nullptr;
    float* running_v = running_variance.defined() ? running_variance.data_ptr<float>() : nullptr;
    double n = static_cast<double>(rows.count);
    for (int64_t c = 0; c < rows.channels; ++c) {
      double shift = sums[c] / n;
      double m = from[c] + shift;
      double v = std::max(sums[rows.channels + c] / n - shift * shift, 0.0);
      mean.data_ptr<float>()[c] = static_cast<float>(m);
      inverse.data_ptr<float>()[c] = static_cast<float>(1.0 / std::sqrt(v + epsilon));
      if (running_m != nullptr) {
        running_m[c] = static_cast<float>((1.0 - momentum) * running_m[c] + momentum * m);
        running_v[c] = static_cast<float>((1.0 - momentum) * running_v[c] + momentum * v * n / (n - 1.0));
      }
    }
  }
};

// Scale and shift of the whole normalization, in one buffer of two rows.
std::vector<float> folded(const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                          const at::Tensor& inverse) {
  int64_t channels = mean.size(0);
  std::vector<float> both(2 * channels);
  for (int64_t c = 0; c < channels; ++c) {
    both[c] = weight.const_data_ptr<float>()[c] * inverse.const_data_ptr<float>()[c];
    both[channels + c] = bias.const_data_ptr<float>()[c] - mean.const_data_ptr<float>()[c] * both[c];
  }
  return both;
}

mutualnet::ScaleShift norm_of(const std::vector<float>& both, Limits limits) {
  return {both.data(), both.data() + both.size() / 2, static_cast<float>(limits.low),
          static_cast<float>(limits.high)};
}

at::Tensor normalized(const at::Tensor& x, const std::vector<float>& both, Limits limits) {
  at::Tensor y = at::empty_like(x);
  Rows rows(x);
  mutualnet::ScaleShift norm = norm_of(both, limits);
  const float* from = x.const_data_ptr<float>();
  float* to = y.data_ptr<float>();
  rows.each([&](int64_t, int64_t offset, int64_t count) {
    kernels().scale_shift(from + offset, to + offset, count, rows.channels, norm);
  });
  return y;
}

struct NormActivation : torch::autograd::Function<NormActivation> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& mean, const at::Tensor& inverse,
                            double low, double high) {
    ctx->save_for_backward({x, weight, bias, mean, inverse});
    ctx->saved_data["low"] = low;
    ctx->saved_data["high"] = high;
    return normalized(x, folded(weight, bias, mean, inverse), {low, high});
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[3], &inverse = saved[4];
    std::vector<float> both = folded(weight, saved[2], mean, inverse);
    Limits limits{ctx->saved_data["low"].toDouble(), ctx->saved_data["high"].toDouble()};
    mutualnet::ScaleShift norm = norm_of(both, limits);
    at::Tensor dy = gradients[0].contiguous(channels_last_of(x));
    at::Tensor dx = at::empty_like(x);
    at::Tensor d_weight = at::empty_like(weight), d_bias = at::empty_like(weight);

    Rows rows(x);
    const float* xs = x.const_data_ptr<float>();
    const float* dys = dy.const_data_ptr<float>();
    const float* center = mean.const_data_ptr<float>();
    std::vector<double> sums = rows.two_sums(
        [&](int64_t offset, int64_t count, float* scratch, double* sum, double* dot) {
          kernels().gradient_moments(xs + offset, dys + offset, count, rows.channels, norm, center, scratch,
                                     sum, dot);
        });

    std::vector<float> coefficients(2 * rows.channels);
    float* slope = coefficients.data();
    float* offset_of = slope + rows.channels;
    for (int64_t c = 0; c < rows.channels; ++c) {
      double n = static_cast<double>(rows.count), deviation = inverse.const_data_ptr<float>()[c];
      d_weight.data_ptr<float>()[c] = static_cast<float>(sums[rows.channels + c] * deviation);
      d_bias.data_ptr<float>()[c] = static_cast<float>(sums[c]);
      slope[c] = static_cast<float>(-both[c] * deviation * deviation * sums[rows.channels + c] / n);
      offset_of[c] = static_cast<float>(-both[c] * sums[c] / n);
    }
    mutualnet::InputGradient gradient{both.data(), slope, offset_of, center};
    float* dxs = dx.data_ptr<float>();
    rows.each([&](int64_t, int64_t offset, int64_t count) {
      kernels().input_gradient(xs + offset, dys + offset, dxs + offset, count, rows.channels, norm, gradient);
    });
    return {dx, d_weight, d_bias, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

void check_channels(const at::Tensor& x, const at::Tensor& vector) {
  TORCH_CHECK(vector.dim() == 1 && vector.size(0) == x.size(1) && vector.is_contiguous() &&
                  vector.scalar_type() == at::kFloat && vector.device().is_cpu(),
              "a per-channel value of shape ", vector.sizes(), " for ", x.size(1), " channels");
}

}  // namespace

extern "C" {

int mutualnet_is_recording() { return at::GradMode::is_enabled(); }

// Whether the fused operations take this tensor: floats on the CPU with a spatial dimension.
int mutualnet_can_fuse(const at::Tensor* x) {
  return x->device().is_cpu() && x->scalar_type() == at::kFloat && (x->dim() == 4 || x->dim() == 5) &&
         x->numel() > 0;
}

struct NormSettings {
  double momentum;
  double epsilon;
  double low;
  double high;
};

// `running_mean` and `running_variance` may both be null.
char* mutualnet_norm_activation(const at::Tensor* input, const at::Tensor* weight, const at::Tensor* bias,
                                at::Tensor* running_mean, at::Tensor* running_variance,
                                const NormSettings* settings, at::Tensor** out) {
  return guarded([&] {
    at::Tensor x = input->contiguous(channels_last_of(*input));
    check_channels(x, *weight);
    check_channels(x, *bias);
    at::Tensor none;
    bool collects = running_mean != nullptr;
    if (collects) {
      check_channels(x, *running_mean);
      check_channels(x, *running_variance);
    }
    Statistics statistics(x.detach(), collects ? *running_mean : none,
                          collects ? *running_variance : none, settings->momentum, settings->epsilon);
    *out = new at::Tensor(NormActivation::apply(x, *weight, *bias, statistics.mean, statistics.inverse,
                                                settings->low, settings->high));
  });
}

// Fixed statistics, not recorded.
char* mutualnet_fixed_norm_activation(const at::Tensor* input, const at::Tensor* weight,
                                      const at::Tensor* bias, const at::Tensor* mean,
                                      const at::Tensor* variance, const NormSettings* settings,
                                      at::Tensor** out) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    at::Tensor x = input->contiguous(channels_last_of(*input));
    for (const at::Tensor* vector : {weight, bias, mean, variance}) {
      check_channels(x, *vector);
    }
    at::Tensor inverse = variance->add(settings->epsilon).rsqrt();
    std::vector<float> both = folded(*weight, *bias, *mean, inverse);
    *out = new at::Tensor(normalized(x, both, {settings->low, settings->high}));
  });
}

}  // extern "C"
