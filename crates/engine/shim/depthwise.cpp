// Batch norm, activation and the depthwise convolution of images or clips that follows them as one operation.
// The activated tensor is never written: forward computes a few scanlines of it at a time, and backward
// computes each scanline again. How the work is cut into bands of scanlines depends only on the shape, so
// results do not depend on the number of threads.

#include "guard.h"
#include "norm.h"

#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t LEAST_BANDS = 32;
constexpr int64_t LEAST_BAND_LINES = 16;
// How many products a float sum of tap gradients takes before it is added to a double.
constexpr int64_t FLUSH = 256;

// How a kernel moves; it is padded so that a stride of 1 keeps the size. The same as `RawMoves` on the Rust side.
struct Moves {
  int64_t stride, dilation;
};

// The images of a batch, in and out, and how their scanlines are cut into bands. The frames of clips are images, of which
// a kernel reads several; along time its stride is 1.
struct Planes {
  int64_t frames, images, channels, height, width, reach, kernel, stride, dilation, padding, height_out, width_out;

  Planes(const at::Tensor& x, const at::Tensor& taps, Moves moves)
      : frames(x.dim() == 5 ? x.size(2) : 1),
        images(x.size(0) * frames),
        channels(x.size(1)),
        height(x.size(-2)),
        width(x.size(-1)),
        reach(x.dim() == 5 ? taps.size(2) : 1),
        kernel(taps.size(-1)),
        stride(moves.stride),
        dilation(moves.dilation),
        padding(kernel / 2 * dilation),
        height_out((height - 1) / stride + 1),
        width_out((width - 1) / stride + 1) {}

  int64_t line_in() const { return width * channels; }
  int64_t line_out() const { return width_out * channels; }

  int64_t lines() const { return reach * kernel; }
  int64_t taps() const { return lines() * kernel; }

  // The image that is `k - reach / 2` frames after another one, or -1 if it is not in the same clip.
  int64_t neighbor(int64_t image, int64_t k) const {
    int64_t frame = image % frames + k - reach / 2;
    return frame >= 0 && frame < frames ? image - image % frames + frame : -1;
  }

  mutualnet::DepthwiseLine line(const float* taps) const {
    return {width, width_out, channels, lines(), kernel, stride, dilation, taps};
  }

  int64_t bands(int64_t lines) const {
    return std::max<int64_t>(1, std::min(LEAST_BANDS / images, lines / LEAST_BAND_LINES));
  }

  // Calls body(band, image, first line, last line) for every band of images of `lines` scanlines.
  template <typename Body>
  void each_band(int64_t lines, Body&& body) const {
    int64_t per_image = bands(lines), size = (lines + per_image - 1) / per_image;
    at::parallel_for(0, images * per_image, 1, [&](int64_t begin, int64_t end) {
      for (int64_t band = begin; band < end; ++band) {
        int64_t first = band % per_image * size;
        body(band, band / per_image, first, std::min(first + size, lines));
      }
    });
  }
};

// Transposes taps from [channels][1][taps…] to [taps][channels].
std::vector<float> taps_of(const at::Tensor& kernel) {
  at::Tensor plain = kernel.detach().contiguous();
  const float* from = plain.const_data_ptr<float>();
  int64_t channels = plain.size(0), n = plain.numel() / channels;
  std::vector<float> taps(n * channels);
  for (int64_t i = 0; i < n * channels; ++i) {
    taps[i % n * channels + i / n] = from[i];
  }
  return taps;
}

// The activated scanlines of an image that a kernel reaches, each between columns of zeros.
class LineWindow {
 public:
  LineWindow(const Planes& planes, const float* image, const mutualnet::ScaleShift& norm)
      : planes_(planes), image_(image), norm_(norm), pitch_((planes.width + 2 * planes.padding) * planes.channels),
        span_(2 * planes.padding + 1), lines_(span_ * pitch_, 0.0f), present_(span_, -1) {}

  // The scanlines around `center` that the lines of taps read; null outside of the image.
  void around(int64_t center, const float** window) {
    for (int64_t k = 0; k < planes_.kernel; ++k) {
      int64_t y = center - planes_.padding + k * planes_.dilation;
      bool inside = y >= 0 && y < planes_.height;
      if (inside && present_[y % span_] != y) {
        float* to = slot(y) + planes_.padding * planes_.channels;
        mutualnet::kernels().norm.scale_shift(image_ + y * planes_.line_in(), to, planes_.width, planes_.channels,
                                              norm_);
        present_[y % span_] = y;
      }
      window[k] = inside ? slot(y) : nullptr;
    }
  }

 private:
  float* slot(int64_t y) { return lines_.data() + y % span_ * pitch_; }

  const Planes& planes_;
  const float* image_;
  const mutualnet::ScaleShift& norm_;
  int64_t pitch_, span_;
  std::vector<float> lines_;
  // The scanline in each slot, or -1.
  std::vector<int64_t> present_;
};

at::Tensor convolved(const at::Tensor& x, const at::Tensor& kernel, Moves moves,
                     const std::vector<float>& both, Limits limits) {
  Planes planes(x, kernel, moves);
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes[x.dim() - 2] = planes.height_out;
  sizes[x.dim() - 1] = planes.width_out;
  at::Tensor y = at::empty(sizes, x.options(), channels_last_of(x));
  std::vector<float> taps = taps_of(kernel);
  mutualnet::DepthwiseLine shape = planes.line(taps.data());
  mutualnet::ScaleShift norm = norm_of(both, limits);
  const float* xs = x.const_data_ptr<float>();
  float* ys = y.data_ptr<float>();
  planes.each_band(planes.height_out, [&](int64_t, int64_t image, int64_t first, int64_t last) {
    std::vector<std::pair<int64_t, LineWindow>> frames;
    for (int64_t k = 0; k < planes.reach; ++k) {
      int64_t neighbor = planes.neighbor(image, k);
      if (neighbor >= 0) {
        frames.emplace_back(k, LineWindow(planes, xs + neighbor * planes.height * planes.line_in(), norm));
      }
    }
    for (int64_t line = first; line < last; ++line) {
      const float* window[mutualnet::MOST_LINES] = {};
      for (auto& [k, lines] : frames) {
        lines.around(line * planes.stride, window + k * planes.kernel);
      }
      mutualnet::kernels().depthwise.line(window, ys + (image * planes.height_out + line) * planes.line_out(),
                                         shape);
    }
  });
  return y;
}

// The sums of backward: for each channel the two of the norm, then one per tap.
int64_t n_sums(const Planes& planes) { return (2 + planes.taps()) * planes.channels; }

class BandGradient {
 public:
  BandGradient(const Planes& planes, const NormPass& pass, const mutualnet::ScaleShift& norm,
               const mutualnet::DepthwiseLine& shape, double* sums)
      : planes_(planes), pass_(pass), norm_(norm), shape_(shape), sums_(sums),
        activated_(planes.line_in()), scratch_(2 * planes.channels), d_taps_(planes.taps() * planes.channels, 0.0f) {}

  // Computes the gradient `da` of the activated scanline `y` of an image, and adds its part to all sums.
  void line(const float* x, const float* dys, float* da, int64_t image, int64_t y) {
    mutualnet::kernels().norm.scale_shift(x, activated_.data(), planes_.width, planes_.channels, norm_);
    const float* dy[mutualnet::MOST_LINES] = {};
    for (int64_t k = 0; k < planes_.lines(); ++k) {
      // The output frame that reads this one with tap k is as far before it as this one is after that.
      int64_t frame = planes_.neighbor(image, planes_.reach - 1 - k / planes_.kernel);
      int64_t reach = y + planes_.padding - k % planes_.kernel * planes_.dilation, out = reach / planes_.stride;
      bool reached = frame >= 0 && reach >= 0 && reach % planes_.stride == 0 && out < planes_.height_out;
      dy[k] = reached ? dys + (frame * planes_.height_out + out) * planes_.line_out() : nullptr;
    }
    mutualnet::kernels().depthwise.gradient(activated_.data(), dy, da, d_taps_.data(), shape_);
    mutualnet::kernels().norm.gradient_moments(x, da, planes_.width, planes_.channels, norm_,
                                               pass_.mean.const_data_ptr<float>(), scratch_.data(), sums_,
                                               sums_ + planes_.channels);
    pending_ += planes_.width;
    if (pending_ >= FLUSH) {
      flush();
    }
  }

  void flush() {
    for (int64_t i = 0; i < planes_.taps() * planes_.channels; ++i) {
      sums_[2 * planes_.channels + i] += d_taps_[i];
      d_taps_[i] = 0.0f;
    }
    pending_ = 0;
  }

 private:
  const Planes& planes_;
  const NormPass& pass_;
  const mutualnet::ScaleShift& norm_;
  const mutualnet::DepthwiseLine& shape_;
  double* sums_;
  std::vector<float> activated_, scratch_, d_taps_;
  int64_t pending_ = 0;
};

std::vector<double> gradient_of_activated(const NormPass& pass, const Planes& planes, const at::Tensor& dy,
                                          const std::vector<float>& both, const std::vector<float>& taps,
                                          const at::Tensor& da) {
  int64_t size = n_sums(planes), bands = planes.images * planes.bands(planes.height);
  std::vector<double> parts(bands * size, 0.0);
  mutualnet::ScaleShift norm = norm_of(both, pass.limits);
  mutualnet::DepthwiseLine shape = planes.line(taps.data());
  const float* xs = pass.x.const_data_ptr<float>();
  const float* dys = dy.const_data_ptr<float>();
  float* das = da.data_ptr<float>();
  planes.each_band(planes.height, [&](int64_t band, int64_t image, int64_t first, int64_t last) {
    BandGradient gradient(planes, pass, norm, shape, parts.data() + band * size);
    for (int64_t y = first; y < last; ++y) {
      int64_t at = (image * planes.height + y) * planes.line_in();
      gradient.line(xs + at, dys, das + at, image, y);
    }
    gradient.flush();
  });
  for (int64_t band = 1; band < bands; ++band) {
    for (int64_t i = 0; i < size; ++i) {
      parts[i] += parts[band * size + i];
    }
  }
  parts.resize(size);
  return parts;
}

struct NormActivationDepthwise : torch::autograd::Function<NormActivationDepthwise> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& mean, const at::Tensor& inverse,
                            const at::Tensor& kernel, Moves moves, Limits limits) {
    ctx->save_for_backward({x, weight, bias, mean, inverse, kernel});
    ctx->saved_data["stride"] = moves.stride;
    ctx->saved_data["dilation"] = moves.dilation;
    save(ctx, limits);
    return convolved(x, kernel, moves, folded(weight, bias, mean, inverse), limits);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    variable_list saved = ctx->get_saved_variables();
    NormPass pass{saved[0], saved[1], saved[2], saved[3], saved[4], saved_limits(ctx)};
    const at::Tensor& kernel = saved[5];
    Planes planes(pass.x, kernel, {ctx->saved_data["stride"].toInt(), ctx->saved_data["dilation"].toInt()});
    std::vector<float> both = pass.scale_and_shift();
    at::Tensor dy = gradients[0].contiguous(channels_last_of(pass.x));
    at::Tensor da = at::empty_like(pass.x);
    std::vector<double> sums = gradient_of_activated(pass, planes, dy, both, taps_of(kernel), da);

    at::Tensor d_kernel = at::empty(kernel.sizes(), kernel.options());
    int64_t n = planes.taps();
    for (int64_t i = 0; i < n * planes.channels; ++i) {
      d_kernel.data_ptr<float>()[i] = static_cast<float>(sums[(2 + i % n) * planes.channels + i / n]);
    }
    variable_list result = pass.gradients(da, da, both, sums);
    result.resize(8);
    result[5] = d_kernel;
    return result;
  }
};

void check_kernel(const at::Tensor& x, const at::Tensor& kernel, Moves moves) {
  int64_t size = kernel.size(-1), reach = kernel.dim() == 5 ? kernel.size(2) : 1;
  TORCH_CHECK((x.dim() == 4 || x.dim() == 5) && kernel.dim() == x.dim() && kernel.size(0) == x.size(1) &&
                  kernel.size(1) == 1 && (size == 3 || size == 5) && kernel.size(-2) == size && reach % 2 == 1 &&
                  reach * size <= mutualnet::MOST_LINES &&
                  (moves.stride == 1 || moves.stride == 2) && moves.dilation >= 1 &&
                  kernel.scalar_type() == at::kFloat && kernel.device().is_cpu(),
              "a depthwise kernel of shape ", kernel.sizes(), ", stride ", moves.stride, " and dilation ",
              moves.dilation, " for ", x.sizes());
}

}  // namespace

extern "C" {

// `mean` and `variance` are running statistics to update, or both null.
char* mutualnet_norm_activation_depthwise(const at::Tensor* input, const at::Tensor* weight,
                                          const at::Tensor* bias, at::Tensor* running_mean,
                                          at::Tensor* running_variance, const at::Tensor* kernel,
                                          const Moves* moves, const NormSettings* settings, at::Tensor** out) {
  return guarded([&] {
    check_kernel(*input, *kernel, *moves);
    at::Tensor x = input->contiguous(channels_last_of(*input));
    Statistics statistics = batch_statistics(x, *weight, *bias, running_mean, running_variance, *settings);
    *out = new at::Tensor(NormActivationDepthwise::apply(x, *weight, *bias, statistics.mean,
                                                         statistics.inverse, *kernel, *moves,
                                                         settings->limits()));
  });
}

// Uses fixed statistics; autograd does not record it.
char* mutualnet_fixed_norm_activation_depthwise(const at::Tensor* input, const at::Tensor* weight,
                                                const at::Tensor* bias, const at::Tensor* mean,
                                                const at::Tensor* variance, const at::Tensor* kernel,
                                                const Moves* moves, const NormSettings* settings,
                                                at::Tensor** out) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    check_kernel(*input, *kernel, *moves);
    at::Tensor x = input->contiguous(channels_last_of(*input));
    std::vector<float> both = fixed_scale_and_shift(x, *weight, *bias, *mean, *variance, settings->epsilon);
    *out = new at::Tensor(convolved(x, *kernel, *moves, both, settings->limits()));
  });
}

}  // extern "C"
