// Bilinear resizing of images of three channels. Compiled once per instruction set, see build.rs.
// A pixel is moved as four floats, of which the last is the next pixel's and overwritten by it.

#include "kernels.h"
#include "vector.h"

namespace mutualnet {
namespace {

constexpr int64_t CHANNELS = 3;

// y = a + share * (b - a)
void blend(const float* a, const float* b, float share, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = a[i] + share * (b[i] - a[i]);
  }
}

// Reads one float beyond a pixel, which `row` must have room for.
void resize_row(const float* row, const Resizing& sizes, float* y) {
  auto pixel = [&](int64_t x) __attribute__((always_inline)) {
    const Between& at = sizes.columns[x];
    Vec4 a = load<Vec4>(row + at.first * CHANNELS), b = load<Vec4>(row + at.second * CHANNELS);
    return a + at.second_share * (b - a);
  };
  int64_t last = sizes.columns_out - 1;
  for (int64_t x = 0; x < last; ++x) {
    store(y + x * CHANNELS, pixel(x));
  }
  Vec4 value = pixel(last);
  std::memcpy(y + last * CHANNELS, &value, CHANNELS * sizeof(float));
}

void image(const float* image, float* y, float* scratch, const Resizing& sizes) {
  int64_t row_in = sizes.columns_in * CHANNELS, row_out = sizes.columns_out * CHANNELS;
  for (int64_t row = 0; row < sizes.rows_out; ++row) {
    const Between& at = sizes.rows[row];
    blend(image + at.first * row_in, image + at.second * row_in, at.second_share, scratch, row_in);
    resize_row(scratch, sizes, y + row * row_out);
  }
}

}  // namespace

const ResizeKernels& NAMED(resize_kernels_, MUTUALNET_ISA)() {
  static const ResizeKernels table = {image};
  return table;
}

}  // namespace mutualnet
