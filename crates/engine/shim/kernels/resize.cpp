// Bilinear resizing of three-channel images. Compiled once per instruction set, see build.rs.
// A pixel is moved as four floats; the last one belongs to the next pixel, which overwrites it.

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

// Interpolates between each pixel and the next. There must be numbers after the last pixel of `line`; they have no
// effect.
void resize_line(const float* line, const Resizing& sizes, float* y) {
  auto pixel = [&](const Between& at) __attribute__((always_inline)) {
    const float* from = line + at.first * CHANNELS;
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
  int64_t line_in = sizes.columns_in * CHANNELS, line_out = sizes.columns_out * CHANNELS;
  for (int64_t line = 0; line < sizes.lines_out; ++line) {
    const Between& at = sizes.lines[line];
    const float* first = image + at.first * line_in;
    const float* next = at.first + 1 < sizes.lines_in ? first + line_in : first;
    blend(first, next, at.next_share, scratch, line_in);
    resize_line(scratch, sizes, y + line * line_out);
  }
}

}  // namespace

const ResizeKernels& NAMED(resize_kernels_, MUTUALNET_ISA)() {
  static const ResizeKernels table = {image};
  return table;
}

}  // namespace mutualnet
