// Bilinear resizing with aligned corners of three-channel channels-last images: the smaller
// resolutions of a batch. libtorch's takes as long as decoding the image does.
// A pixel is moved as four floats, of which the last is the next pixel's and overwritten by it.

#include "guard.h"

#include <torch/types.h>

#include <ATen/Parallel.h>

namespace {

typedef float Vec4 __attribute__((vector_size(16)));
constexpr int64_t CHANNELS = 3;

// Between which two lines of the input a line of the output lies, and how near to the second.
struct Between {
  int64_t first, second;
  float second_share;
};

// The positions of `out` lines in `in` lines, first on first and last on last.
std::vector<Between> positions(int64_t in, int64_t out) {
  std::vector<Between> found(out);
  float scale = out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0.0f;
  for (int64_t i = 0; i < out; ++i) {
    float at = scale * static_cast<float>(i);
    int64_t first = std::min(static_cast<int64_t>(at), in - 1);
    found[i] = {first, std::min(first + 1, in - 1), at - static_cast<float>(first)};
  }
  return found;
}

// y = a + share * (b - a)
void blend(const float* a, const float* b, float share, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = a[i] + share * (b[i] - a[i]);
  }
}

// Reads one float beyond a pixel, which `row` must have room for.
void resize_row(const float* row, const std::vector<Between>& columns, float* y) {
  auto load = [](const float* from) {
    Vec4 value;
    std::memcpy(&value, from, sizeof(Vec4));
    return value;
  };
  int64_t last = static_cast<int64_t>(columns.size()) - 1;
  for (int64_t x = 0; x <= last; ++x) {
    const Between& at = columns[x];
    Vec4 a = load(row + at.first * CHANNELS), b = load(row + at.second * CHANNELS);
    Vec4 value = a + at.second_share * (b - a);
    std::memcpy(y + x * CHANNELS, &value, (x < last ? 4 : CHANNELS) * sizeof(float));
  }
}

}  // namespace

extern "C" {

// `images` is [n, 3, h, w], f32, on the CPU.
char* mutualnet_resize_images(const at::Tensor* images, int64_t height, int64_t width, at::Tensor** out) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    TORCH_CHECK(images->dim() == 4 && images->size(1) == CHANNELS && images->scalar_type() == at::kFloat &&
                    images->device().is_cpu() && height > 0 && width > 0,
                "images of shape ", images->sizes());
    at::Tensor x = images->detach().contiguous(at::MemoryFormat::ChannelsLast);
    int64_t n = x.size(0), rows_in = x.size(2), row_in = x.size(3) * CHANNELS, row_out = width * CHANNELS;
    at::Tensor y = at::empty({n, CHANNELS, height, width}, x.options(), at::MemoryFormat::ChannelsLast);
    std::vector<Between> rows = positions(rows_in, height), columns = positions(x.size(3), width);
    const float* xs = x.const_data_ptr<float>();
    float* ys = y.data_ptr<float>();
    at::parallel_for(0, n * height, 64, [&](int64_t begin, int64_t end) {
      std::vector<float> blended(row_in + 1, 0.0f);
      for (int64_t line = begin; line < end; ++line) {
        const float* image = xs + line / height * rows_in * row_in;
        const Between& at = rows[line % height];
        blend(image + at.first * row_in, image + at.second * row_in, at.second_share, blended.data(), row_in);
        resize_row(blended.data(), columns, ys + line * row_out);
      }
    });
    *out = new at::Tensor(y);
  });
}

}  // extern "C"
