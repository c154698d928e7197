// Bilinear resizing with aligned corners of three-channel channels-last images, for the smaller
// resolutions of a batch. libtorch's own takes as long as decoding the images.

#include "guard.h"
#include "kernels/kernels.h"

#include <torch/types.h>

#include <ATen/Parallel.h>

namespace {

using mutualnet::Between;
constexpr int64_t CHANNELS = 3;

// The positions of `out` lines among `in` lines, where the first and the last coincide.
std::vector<Between> positions(int64_t in, int64_t out) {
  std::vector<Between> found(out);
  float scale = out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0.0f;
  for (int64_t i = 0; i < out; ++i) {
    float at = scale * static_cast<float>(i);
    int64_t first = std::min(static_cast<int64_t>(at), in - 1);
    // Rounding may put the last line slightly beyond the input.
    float next_share = first + 1 < in ? at - static_cast<float>(first) : 0.0f;
    found[i] = {static_cast<int32_t>(first), next_share};
  }
  return found;
}

// One size that a batch is resized to.
struct Target {
  at::Tensor images;
  std::vector<Between> lines, columns;

  Target(const at::Tensor& x, int64_t side)
      : images(at::empty({x.size(0), CHANNELS, side, side}, x.options(), at::MemoryFormat::ChannelsLast)),
        lines(positions(x.size(2), side)),
        columns(positions(x.size(3), side)) {}

  // `x` is the batch that is resized.
  void fill(int64_t number, const at::Tensor& x, float* scratch) {
    mutualnet::Resizing sizes{x.size(2), x.size(3), static_cast<int64_t>(lines.size()),
                              static_cast<int64_t>(columns.size()), lines.data(), columns.data()};
    const float* image = x.const_data_ptr<float>() + number * sizes.lines_in * sizes.columns_in * CHANNELS;
    float* y = images.data_ptr<float>() + number * sizes.lines_out * sizes.columns_out * CHANNELS;
    mutualnet::kernels().resize.image(image, y, scratch, sizes);
  }
};

}  // namespace

extern "C" {

// `images` is [n, 3, h, w], f32, on the CPU; `out` has room for one tensor per side.
// Each image is resized to all sizes while it is in the cache.
char* mutualnet_resize_images(const at::Tensor* images, const int64_t* sides, int64_t count, at::Tensor** out) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    TORCH_CHECK(images->dim() == 4 && images->size(1) == CHANNELS && images->scalar_type() == at::kFloat &&
                    images->device().is_cpu() && images->size(2) > 0 && images->size(3) > 0,
                "images of shape ", images->sizes());
    at::Tensor x = images->detach().contiguous(at::MemoryFormat::ChannelsLast);
    std::vector<Target> targets;
    for (int64_t i = 0; i < count; ++i) {
      targets.emplace_back(x, sides[i]);
    }
    at::parallel_for(0, x.size(0), 1, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch((x.size(3) + 1) * CHANNELS + 1, 0.0f);
      for (int64_t number = begin; number < end; ++number) {
        for (Target& target : targets) {
          target.fill(number, x, scratch.data());
        }
      }
    });
    for (int64_t i = 0; i < count; ++i) {
      out[i] = new at::Tensor(targets[i].images);
    }
  });
}

}  // extern "C"
