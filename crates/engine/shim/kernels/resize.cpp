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

// Between each pixel and the next; behind the last one of `row` there are numbers, of which nothing is taken.
void resize_row(const float* row, const Resizing& sizes, float* y) {
  auto pixel = [&](const Between& at) __attribute__((always_inline)) {
    const float* from = row + at.first * CHANNELS;
    Vec4 a = load<Vec4>(from), b = load<Vec4>(from + CHANNELS);
    return a + at.next_share * (b - a);
  };
  const Between* last = sizes.columns + sizes.columns_out - 1;
  for (const Between* at = sizes.columns; at < last; ++at) {
    store(y, pixel(*at));
    y += CHANNELS;
  }
  Vec4 value = pixel(*last);
  std::memcpy(y, &value, CHANNELS * sizeof(float));
}

void image(const float* image, float* y, float* scratch, const Resizing& sizes) {
  int64_t row_in = sizes.columns_in * CHANNELS, row_out = sizes.columns_out * CHANNELS;
  for (int64_t row = 0; row < sizes.rows_out; ++row) {
    const Between& at = sizes.rows[row];
    const float* first = image + at.first * row_in;
    const float* next = at.first + 1 < sizes.rows_in ? first + row_in : first;
    blend(first, next, at.next_share, scratch, row_in);
    resize_row(scratch, sizes, y + row * row_out);
  }
}

}  // namespace

const ResizeKernels& NAMED(resize_kernels_, MUTUALNET_ISA)() {
  static const ResizeKernels table = {image};
  return table;
}

}  // namespace mutualnet
