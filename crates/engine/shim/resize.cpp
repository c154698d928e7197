// Bilinear resizing, with aligned corners, of three-channel channels-last images: the smaller
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
  auto pixel = [&](int64_t x) {
    const Between& at = columns[x];
    Vec4 a = load(row + at.first * CHANNELS), b = load(row + at.second * CHANNELS);
    return a + at.second_share * (b - a);
  };
  int64_t last = static_cast<int64_t>(columns.size()) - 1;
  for (int64_t x = 0; x < last; ++x) {
    Vec4 value = pixel(x);
    std::memcpy(y + x * CHANNELS, &value, sizeof(Vec4));
  }
  Vec4 value = pixel(last);
  std::memcpy(y + last * CHANNELS, &value, CHANNELS * sizeof(float));
}

// One size that a batch is brought to.
struct Target {
  at::Tensor images;
  std::vector<Between> rows, columns;

  Target(const at::Tensor& x, int64_t side)
      : images(at::empty({x.size(0), CHANNELS, side, side}, x.options(), at::MemoryFormat::ChannelsLast)),
        rows(positions(x.size(2), side)),
        columns(positions(x.size(3), side)) {}

  // `blended` has room for a row of the input and one float.
  void fill(int64_t number, const float* image, int64_t row_in, std::vector<float>& blended) {
    int64_t row_out = static_cast<int64_t>(columns.size()) * CHANNELS;
    float* y = images.data_ptr<float>() + number * static_cast<int64_t>(rows.size()) * row_out;
    for (const Between& at : rows) {
      blend(image + at.first * row_in, image + at.second * row_in, at.second_share, blended.data(), row_in);
      resize_row(blended.data(), columns, y);
      y += row_out;
    }
  }
};

}  // namespace

extern "C" {

// `images` is [n, 3, h, w], f32, on the CPU; `out` has room for a tensor of each of the sides.
// An image is brought to all sizes while it is in the cache.
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
    const float* xs = x.const_data_ptr<float>();
    int64_t row_in = x.size(3) * CHANNELS, image_in = x.size(2) * row_in;
    at::parallel_for(0, x.size(0), 1, [&](int64_t begin, int64_t end) {
      std::vector<float> blended(row_in + 1, 0.0f);
      for (int64_t number = begin; number < end; ++number) {
        for (Target& target : targets) {
          target.fill(number, xs + number * image_in, row_in, blended);
        }
      }
    });
    for (int64_t i = 0; i < count; ++i) {
      out[i] = new at::Tensor(targets[i].images);
    }
  });
}

}  // extern "C"
