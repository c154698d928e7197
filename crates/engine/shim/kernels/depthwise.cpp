// Rows of the 3 x 3 depthwise convolution, forward and backward. Once per instruction set.
// Interior columns go in blocks that share loaded columns and taps; the rest one by one.

#include "kernels.h"
#include "vector.h"

namespace mutualnet {
namespace {

constexpr int64_t BLOCK = 4;

template <int64_t STRIDE, int64_t COLUMNS>
MUTUALNET_INLINE void row_block(const float* const (&rows)[3], float* y, int64_t column,
                                const DepthwiseRow& shape) {
  int64_t channels = shape.channels, start = column * STRIDE * channels;
  over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
    using V = decltype(lanes);
    constexpr int64_t READ = (COLUMNS - 1) * STRIDE + 3;
    V total[COLUMNS] = {};
    for (int64_t ky = 0; ky < 3; ++ky) {
      V read[READ];
      for (int64_t i = 0; i < READ; ++i) {
        read[i] = load<V>(rows[ky] + start + i * channels + c);
      }
      for (int64_t kx = 0; kx < 3; ++kx) {
        V tap = load<V>(shape.taps + (ky * 3 + kx) * channels + c);
        for (int64_t o = 0; o < COLUMNS; ++o) {
          total[o] += read[o * STRIDE + kx] * tap;
        }
      }
    }
    for (int64_t o = 0; o < COLUMNS; ++o) {
      store(y + (column + o) * channels + c, total[o]);
    }
  });
}

template <int64_t STRIDE>
MUTUALNET_INLINE void row_of(const float* const (&rows)[3], float* y, const DepthwiseRow& shape) {
  int64_t column = 0;
  for (; column + BLOCK <= shape.columns_out; column += BLOCK) {
    row_block<STRIDE, BLOCK>(rows, y, column, shape);
  }
  for (; column < shape.columns_out; ++column) {
    row_block<STRIDE, 1>(rows, y, column, shape);
  }
}

void row(const float* const (&rows)[3], float* y, const DepthwiseRow& shape) {
  if (shape.stride == 1) {
    row_of<1>(rows, y, shape);
  } else {
    row_of<2>(rows, y, shape);
  }
}

// Any one column, with its neighbors checked.
void gradient_column(const float* a, const float* const (&dy)[3], float* da, float* d_taps, int64_t column,
                     const DepthwiseRow& shape) {
  int64_t channels = shape.channels, at = column * channels;
  over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
    using V = decltype(lanes);
    V input = load<V>(a + at + c), total{};
    for (int64_t k = 0; k < 9; ++k) {
      int64_t ky = k / 3, reach = column + 1 - k % 3, out = reach / shape.stride;
      if (dy[ky] == nullptr || reach < 0 || reach % shape.stride != 0 || out >= shape.columns_out) {
        continue;
      }
      V g = load<V>(dy[ky] + out * channels + c);
      total += g * load<V>(shape.taps + k * channels + c);
      store(d_taps + k * channels + c, load<V>(d_taps + k * channels + c) + input * g);
    }
    store(da + at + c, total);
  });
}

template <typename V>
MUTUALNET_INLINE void add_to(float* where, V value) {
  store(where, load<V>(where) + value);
}

// Columns [column, column + BLOCK), none of them at an edge.
MUTUALNET_INLINE void gradient_block_1(const float* a, const float* const (&dy)[3], float* da, float* d_taps,
                                       int64_t column, const DepthwiseRow& shape) {
  int64_t channels = shape.channels, at = column * channels;
  over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
    using V = decltype(lanes);
    V input[BLOCK], total[BLOCK] = {};
    for (int64_t o = 0; o < BLOCK; ++o) {
      input[o] = load<V>(a + at + o * channels + c);
    }
    for (int64_t ky = 0; ky < 3; ++ky) {
      if (dy[ky] == nullptr) {
        continue;
      }
      V g[BLOCK + 2];
      for (int64_t i = 0; i < BLOCK + 2; ++i) {
        g[i] = load<V>(dy[ky] + at + (i - 1) * channels + c);
      }
      for (int64_t kx = 0; kx < 3; ++kx) {
        int64_t k = (ky * 3 + kx) * channels + c;
        V tap = load<V>(shape.taps + k), part{};
        for (int64_t o = 0; o < BLOCK; ++o) {
          total[o] += g[o + 2 - kx] * tap;
          part += input[o] * g[o + 2 - kx];
        }
        add_to(d_taps + k, part);
      }
    }
    for (int64_t o = 0; o < BLOCK; ++o) {
      store(da + at + o * channels + c, total[o]);
    }
  });
}

// Columns [2 * out, 2 * (out + BLOCK)) of a stride-2 row, none of them at the right edge.
MUTUALNET_INLINE void gradient_block_2(const float* a, const float* const (&dy)[3], float* da, float* d_taps,
                                       int64_t out, const DepthwiseRow& shape) {
  int64_t channels = shape.channels, at = 2 * out * channels;
  over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
    using V = decltype(lanes);
    V input[2 * BLOCK], total[2 * BLOCK] = {};
    for (int64_t o = 0; o < 2 * BLOCK; ++o) {
      input[o] = load<V>(a + at + o * channels + c);
    }
    for (int64_t ky = 0; ky < 3; ++ky) {
      if (dy[ky] == nullptr) {
        continue;
      }
      V g[BLOCK + 1], part[3] = {};
      for (int64_t i = 0; i < BLOCK + 1; ++i) {
        g[i] = load<V>(dy[ky] + (out + i) * channels + c);
      }
      float* d_tap = d_taps + ky * 3 * channels + c;
      const float* taps = shape.taps + ky * 3 * channels + c;
      V left = load<V>(taps), middle = load<V>(taps + channels), right = load<V>(taps + 2 * channels);
      for (int64_t o = 0; o < BLOCK; ++o) {
        total[2 * o] += g[o] * middle;
        total[2 * o + 1] += g[o + 1] * left + g[o] * right;
        part[0] += input[2 * o + 1] * g[o + 1];
        part[1] += input[2 * o] * g[o];
        part[2] += input[2 * o + 1] * g[o];
      }
      for (int64_t kx = 0; kx < 3; ++kx) {
        add_to(d_tap + kx * channels, part[kx]);
      }
    }
    for (int64_t o = 0; o < 2 * BLOCK; ++o) {
      store(da + at + o * channels + c, total[o]);
    }
  });
}

void gradient(const float* a, const float* const (&dy)[3], float* da, float* d_taps,
              const DepthwiseRow& shape) {
  int64_t column = 0;
  if (shape.stride == 1) {
    gradient_column(a, dy, da, d_taps, column++, shape);
    for (; column + BLOCK < shape.columns_in; column += BLOCK) {
      gradient_block_1(a, dy, da, d_taps, column, shape);
    }
  } else {
    for (; column / 2 + BLOCK < shape.columns_out; column += 2 * BLOCK) {
      gradient_block_2(a, dy, da, d_taps, column / 2, shape);
    }
  }
  for (; column < shape.columns_in; ++column) {
    gradient_column(a, dy, da, d_taps, column, shape);
  }
}

}  // namespace

const DepthwiseKernels& NAMED(depthwise_kernels_, MUTUALNET_ISA)() {
  static const DepthwiseKernels table = {row, gradient};
  return table;
}

}  // namespace mutualnet
