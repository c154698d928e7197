// Scanlines of depthwise convolutions, forward and backward. Compiled once per instruction set.
// Columns are computed in blocks that share loaded columns and taps; lines of 3 taps side by side, the most common ones,
// have functions of their own.

#include "kernels.h"
#include "vector.h"

namespace mutualnet {
namespace {

constexpr int64_t BLOCK = 4;

template <int64_t N>
struct Columns {
  static constexpr int64_t COUNT = N;
};

// Calls body(Columns<n>, first column) until `count` columns are done; n is at most BLOCK.
template <typename Body>
MUTUALNET_INLINE void in_column_blocks(int64_t count, Body&& body) {
  int64_t column = 0;
  for (; column + BLOCK <= count; column += BLOCK) {
    body(Columns<BLOCK>{}, column);
  }
  switch (count - column) {
    case 3:
      return body(Columns<3>{}, column);
    case 2:
      return body(Columns<2>{}, column);
    case 1:
      return body(Columns<1>{}, column);
  }
}

template <int64_t STRIDE, int64_t LINES, int64_t COLUMNS>
MUTUALNET_INLINE void line_block(const float* const (&lines)[MOST_LINES], float* y, int64_t column,
                                const DepthwiseLine& shape) {
  int64_t channels = shape.channels, start = column * STRIDE * channels;
  over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
    using V = decltype(lanes);
    constexpr int64_t READ = (COLUMNS - 1) * STRIDE + 3;
    V total[COLUMNS] = {};
    for (int64_t ky = 0; ky < LINES; ++ky) {
      if (lines[ky] == nullptr) {
        continue;
      }
      V read[READ];
      for (int64_t i = 0; i < READ; ++i) {
        read[i] = load<V>(lines[ky] + start + i * channels + c);
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

template <int64_t STRIDE, int64_t LINES>
MUTUALNET_INLINE void line_of(const float* const (&lines)[MOST_LINES], float* y, const DepthwiseLine& shape) {
  in_column_blocks(shape.columns_out, [&](auto columns, int64_t column) __attribute__((always_inline)) {
    line_block<STRIDE, LINES, decltype(columns)::COUNT>(lines, y, column, shape);
  });
}

// Any dilation and stride.
template <int64_t KERNEL>
MUTUALNET_INLINE void general_line(const float* const (&lines)[MOST_LINES], float* y, const DepthwiseLine& shape) {
  int64_t channels = shape.channels;
  in_column_blocks(shape.columns_out, [&](auto columns, int64_t column) __attribute__((always_inline)) {
    constexpr int64_t COUNT = decltype(columns)::COUNT;
    over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
      using V = decltype(lanes);
      V total[COUNT] = {};
      for (int64_t ky = 0; ky < shape.lines; ++ky) {
        if (lines[ky] == nullptr) {
          continue;
        }
        const float* from = lines[ky] + column * shape.stride * channels + c;
        for (int64_t kx = 0; kx < KERNEL; ++kx) {
          V tap = load<V>(shape.taps + (ky * KERNEL + kx) * channels + c);
          for (int64_t o = 0; o < COUNT; ++o) {
            total[o] += load<V>(from + (o * shape.stride + kx * shape.dilation) * channels) * tap;
          }
        }
      }
      for (int64_t o = 0; o < COUNT; ++o) {
        store(y + (column + o) * channels + c, total[o]);
      }
    });
  });
}

// Whether there are 3 or 9 lines of 3 taps, side by side.
bool is_plain(const DepthwiseLine& shape) {
  return shape.kernel == 3 && shape.dilation == 1 && (shape.lines == 3 || shape.lines == 9);
}

void line(const float* const (&lines)[MOST_LINES], float* y, const DepthwiseLine& shape) {
  if (!is_plain(shape)) {
    return shape.kernel == 3 ? general_line<3>(lines, y, shape) : general_line<5>(lines, y, shape);
  }
  if (shape.lines == 3) {
    return shape.stride == 1 ? line_of<1, 3>(lines, y, shape) : line_of<2, 3>(lines, y, shape);
  }
  return shape.stride == 1 ? line_of<1, 9>(lines, y, shape) : line_of<2, 9>(lines, y, shape);
}

template <typename V>
MUTUALNET_INLINE void add_to(float* where, V value) {
  store(where, load<V>(where) + value);
}

// A column of an output scanline; zeros outside it.
template <typename V>
MUTUALNET_INLINE V column_of(const float* dy, int64_t column, int64_t c, const DepthwiseLine& shape) {
  bool inside = column >= 0 && column < shape.columns_out;
  return inside ? load<V>(dy + column * shape.channels + c) : V{};
}

template <int64_t LINES, int64_t COLUMNS>
MUTUALNET_INLINE void gradient_block_1(const float* a, const float* const (&dy)[MOST_LINES], float* da, float* d_taps,
                                       int64_t column, const DepthwiseLine& shape) {
  int64_t channels = shape.channels, at = column * channels;
  over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
    using V = decltype(lanes);
    V input[COLUMNS], total[COLUMNS] = {};
    for (int64_t o = 0; o < COLUMNS; ++o) {
      input[o] = load<V>(a + at + o * channels + c);
    }
    for (int64_t ky = 0; ky < LINES; ++ky) {
      if (dy[ky] == nullptr) {
        continue;
      }
      V g[COLUMNS + 2];
      for (int64_t i = 0; i < COLUMNS + 2; ++i) {
        g[i] = column_of<V>(dy[ky], column + i - 1, c, shape);
      }
      for (int64_t kx = 0; kx < 3; ++kx) {
        int64_t k = (ky * 3 + kx) * channels + c;
        V tap = load<V>(shape.taps + k), part{};
        for (int64_t o = 0; o < COLUMNS; ++o) {
          total[o] += g[o + 2 - kx] * tap;
          part += input[o] * g[o + 2 - kx];
        }
        add_to(d_taps + k, part);
      }
    }
    for (int64_t o = 0; o < COLUMNS; ++o) {
      store(da + at + o * channels + c, total[o]);
    }
  });
}

// Columns [2 * out, 2 * (out + COLUMNS)) of a stride-2 scanline.
template <int64_t LINES, int64_t COLUMNS>
MUTUALNET_INLINE void gradient_block_2(const float* a, const float* const (&dy)[MOST_LINES], float* da, float* d_taps,
                                       int64_t out, const DepthwiseLine& shape) {
  int64_t channels = shape.channels, at = 2 * out * channels;
  over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
    using V = decltype(lanes);
    V input[2 * COLUMNS], total[2 * COLUMNS] = {};
    for (int64_t o = 0; o < 2 * COLUMNS; ++o) {
      input[o] = load<V>(a + at + o * channels + c);
    }
    for (int64_t ky = 0; ky < LINES; ++ky) {
      if (dy[ky] == nullptr) {
        continue;
      }
      V g[COLUMNS + 1], part[3] = {};
      for (int64_t i = 0; i < COLUMNS + 1; ++i) {
        g[i] = column_of<V>(dy[ky], out + i, c, shape);
      }
      float* d_tap = d_taps + ky * 3 * channels + c;
      const float* taps = shape.taps + ky * 3 * channels + c;
      V left = load<V>(taps), middle = load<V>(taps + channels), right = load<V>(taps + 2 * channels);
      for (int64_t o = 0; o < COLUMNS; ++o) {
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
    for (int64_t o = 0; o < 2 * COLUMNS; ++o) {
      store(da + at + o * channels + c, total[o]);
    }
  });
}

// The last column of a stride-2 scanline of odd length, which only the middle taps use.
template <int64_t LINES>
MUTUALNET_INLINE void gradient_last_2(const float* a, const float* const (&dy)[MOST_LINES], float* da, float* d_taps,
                                      const DepthwiseLine& shape) {
  int64_t channels = shape.channels, at = (shape.columns_in - 1) * channels;
  over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
    using V = decltype(lanes);
    V input = load<V>(a + at + c), total{};
    for (int64_t ky = 0; ky < LINES; ++ky) {
      if (dy[ky] != nullptr) {
        V g = load<V>(dy[ky] + (shape.columns_out - 1) * channels + c);
        int64_t middle = (ky * 3 + 1) * channels + c;
        total += g * load<V>(shape.taps + middle);
        add_to(d_taps + middle, input * g);
      }
    }
    store(da + at + c, total);
  });
}

// Any dilation and stride. The gradients of the taps of one line of them stay in registers.
template <int64_t KERNEL>
MUTUALNET_INLINE void general_gradient(const float* a, const float* const (&dy)[MOST_LINES], float* da, float* d_taps,
                                       const DepthwiseLine& shape) {
  int64_t channels = shape.channels;
  over_channels(channels, [&](auto lanes, int64_t c) __attribute__((always_inline)) {
    using V = decltype(lanes);
    for (int64_t x = 0; x < shape.columns_in; ++x) {
      store(da + x * channels + c, V{});
    }
    for (int64_t ky = 0; ky < shape.lines; ++ky) {
      if (dy[ky] == nullptr) {
        continue;
      }
      V tap[KERNEL], part[KERNEL] = {};
      for (int64_t kx = 0; kx < KERNEL; ++kx) {
        tap[kx] = load<V>(shape.taps + (ky * KERNEL + kx) * channels + c);
      }
      for (int64_t x = 0; x < shape.columns_in; ++x) {
        V input = load<V>(a + x * channels + c), total = load<V>(da + x * channels + c);
        for (int64_t kx = 0; kx < KERNEL; ++kx) {
          int64_t reach = x + shape.padding() - kx * shape.dilation, out = shape.stride == 1 ? reach : reach / 2;
          if (reach >= 0 && out < shape.columns_out && out * shape.stride == reach) {
            V g = load<V>(dy[ky] + out * channels + c);
            total += g * tap[kx];
            part[kx] += input * g;
          }
        }
        store(da + x * channels + c, total);
      }
      for (int64_t kx = 0; kx < KERNEL; ++kx) {
        add_to(d_taps + (ky * KERNEL + kx) * channels + c, part[kx]);
      }
    }
  });
}

template <int64_t LINES>
MUTUALNET_INLINE void plain_gradient(const float* a, const float* const (&dy)[MOST_LINES], float* da, float* d_taps,
                                     const DepthwiseLine& shape) {
  if (shape.stride == 1) {
    in_column_blocks(shape.columns_in, [&](auto columns, int64_t column) __attribute__((always_inline)) {
      gradient_block_1<LINES, decltype(columns)::COUNT>(a, dy, da, d_taps, column, shape);
    });
    return;
  }
  in_column_blocks(shape.columns_in / 2, [&](auto columns, int64_t out) __attribute__((always_inline)) {
    gradient_block_2<LINES, decltype(columns)::COUNT>(a, dy, da, d_taps, out, shape);
  });
  if (shape.columns_in % 2 != 0) {
    gradient_last_2<LINES>(a, dy, da, d_taps, shape);
  }
}

void gradient(const float* a, const float* const (&dy)[MOST_LINES], float* da, float* d_taps,
              const DepthwiseLine& shape) {
  if (!is_plain(shape)) {
    return shape.kernel == 3 ? general_gradient<3>(a, dy, da, d_taps, shape)
                             : general_gradient<5>(a, dy, da, d_taps, shape);
  }
  return shape.lines == 3 ? plain_gradient<3>(a, dy, da, d_taps, shape)
                          : plain_gradient<9>(a, dy, da, d_taps, shape);
}

}  // namespace

const DepthwiseKernels& NAMED(depthwise_kernels_, MUTUALNET_ISA)() {
  static const DepthwiseKernels table = {line, gradient};
  return table;
}

}  // namespace mutualnet
