// Losses and answers of segmentation, from coarse maps of scores to all pixels of their masks, for channels-last floats on
// the CPU. The scores of all pixels are never written: each line is interpolated, used, and its gradient added to that of
// the map. Images are independent of each other, so results do not depend on the number of threads.

#include "guard.h"
#include "kernels/kernels.h"

#include <torch/csrc/autograd/custom_function.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

using mutualnet::NO_CLASS;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Lines are padded to a multiple of this, so that no kernel has a remainder.
constexpr int64_t LANES = 16;

// Where the pixels of one axis lie in a map, as libtorch places them without aligned corners.
struct Axis {
  std::vector<int32_t> first;
  std::vector<float> next_share;

  Axis(int64_t in, int64_t out, int64_t padded) : first(padded, 0), next_share(padded, 0.0f) {
    float scale = static_cast<float>(in) / static_cast<float>(out);
    for (int64_t i = 0; i < out; ++i) {
      float at = std::max(scale * (static_cast<float>(i) + 0.5f) - 0.5f, 0.0f);
      int64_t before = std::min(static_cast<int64_t>(at), in - 1);
      first[i] = static_cast<int32_t>(before);
      next_share[i] = std::min(at - static_cast<float>(before), 1.0f);
    }
  }
};

// A batch of maps and the size that they are interpolated to.
struct Grid {
  int64_t images, classes, rows, columns, height, width, pitch;
  Axis vertical, horizontal;

  Grid(const at::Tensor& map, int64_t height_out, int64_t width_out)
      : images(map.size(0)), classes(map.size(1)), rows(map.size(2)), columns(map.size(3)), height(height_out),
        width(width_out), pitch((width_out + LANES - 1) / LANES * LANES), vertical(rows, height, height),
        horizontal(columns, width, pitch) {}

  int64_t line() const { return classes * pitch; }
  int64_t map_size() const { return rows * columns * classes; }
  mutualnet::PixelColumns positions() const {
    return {horizontal.first.data(), horizontal.next_share.data(), pitch};
  }
};

// Interpolates the scores of one image, line by line and downwards.
class Lines {
 public:
  Lines(const Grid& grid, const float* map)
      : grid_(grid), map_(map), expanded_(2 * grid.line()), row_(grid.columns + 1) {}

  // Writes line `y`, [classes][pitch].
  void write(int64_t y, float* to) {
    int64_t first = grid_.vertical.first[y];
    mutualnet::kernels().pixels.blend(expanded(first), expanded(first + 1), grid_.vertical.next_share[y], to,
                                      grid_.line());
  }

 private:
  const float* expanded(int64_t row) {
    float* to = expanded_.data() + row % 2 * grid_.line();
    if (present_[row % 2] != row) {
      present_[row % 2] = row;
      const float* from = map_ + std::min(row, grid_.rows - 1) * grid_.columns * grid_.classes;
      for (int64_t c = 0; c < grid_.classes; ++c) {
        for (int64_t x = 0; x < grid_.columns; ++x) {
          row_[x] = from[x * grid_.classes + c];
        }
        row_[grid_.columns] = row_[grid_.columns - 1];
        mutualnet::kernels().pixels.expand(row_.data(), grid_.positions(), to + c * grid_.pitch);
      }
    }
    return to;
  }

  const Grid& grid_;
  const float* map_;
  std::vector<float> expanded_, row_;
  int64_t present_[2] = {-1, -1};
};

// Adds the gradients of the lines of one image to that of its map; the reverse of `Lines`.
class GradientLines {
 public:
  GradientLines(const Grid& grid, float* map)
      : grid_(grid), map_(map), sums_(2 * grid.line(), 0.0f), row_(grid.columns + 1) {}

  // Lines must come in ascending order.
  void add(int64_t y, const float* gradient) {
    int64_t first = grid_.vertical.first[y];
    pass_on(first);
    mutualnet::kernels().pixels.add_shares(gradient, grid_.vertical.next_share[y], sums(first), sums(first + 1),
                                           grid_.line());
  }

  void finish() { pass_on(lowest_ + 2); }

 private:
  float* sums(int64_t row) { return sums_.data() + row % 2 * grid_.line(); }

  // Gives the rows above `row` what was added up for them.
  void pass_on(int64_t row) {
    for (int64_t above = lowest_; above < std::min(row, lowest_ + 2); ++above) {
      scatter(sums(above), map_ + std::min(above, grid_.rows - 1) * grid_.columns * grid_.classes);
      std::fill_n(sums(above), grid_.line(), 0.0f);
    }
    lowest_ = std::max(lowest_, row);
  }

  void scatter(const float* sums, float* to) {
    for (int64_t c = 0; c < grid_.classes; ++c) {
      std::fill(row_.begin(), row_.end(), 0.0f);
      for (int64_t x = 0; x < grid_.width; ++x) {
        float value = sums[c * grid_.pitch + x], part = grid_.horizontal.next_share[x] * value;
        row_[grid_.horizontal.first[x]] += value - part;
        row_[grid_.horizontal.first[x] + 1] += part;
      }
      row_[grid_.columns - 1] += row_[grid_.columns];
      for (int64_t x = 0; x < grid_.columns; ++x) {
        to[x * grid_.classes + c] += row_[x];
      }
    }
  }

  const Grid& grid_;
  float* map_;
  std::vector<float> sums_, row_;
  int64_t lowest_ = 0;
};

// The labels of a line; pixels that pad it have none.
class LabelLine {
 public:
  LabelLine(const Grid& grid, const uint8_t* mask) : grid_(grid), mask_(mask), labels_(grid.pitch, NO_CLASS) {}

  mutualnet::PixelLine at(int64_t y) {
    std::copy_n(mask_ + y * grid_.width, grid_.width, labels_.begin());
    return {grid_.classes, grid_.pitch, labels_.data()};
  }

 private:
  const Grid& grid_;
  const uint8_t* mask_;
  std::vector<int32_t> labels_;
};

double sum_of(const std::vector<float>& values) {
  double sum = 0.0;
  for (float value : values) {
    sum += value;
  }
  return sum;
}

// The map in the layout that is read here, without history.
at::Tensor readable(const at::Tensor& map) {
  TORCH_CHECK(map.dim() == 4 && map.numel() > 0 && map.scalar_type() == at::kFloat && map.device().is_cpu(),
              "a map of scores of shape ", map.sizes());
  return map.detach().contiguous(at::MemoryFormat::ChannelsLast);
}

// Checks masks and returns how many pixels have a class.
int64_t labelled(const at::Tensor& map, const at::Tensor& masks) {
  TORCH_CHECK(masks.dim() == 3 && masks.size(0) == map.size(0) && masks.scalar_type() == at::kByte &&
                  masks.device().is_cpu() && masks.is_contiguous() && masks.numel() > 0,
              "masks of shape ", masks.sizes(), " for a map of scores of shape ", map.sizes());
  const uint8_t* labels = masks.const_data_ptr<uint8_t>();
  int64_t counts[256] = {};
  for (int64_t i = 0; i < masks.numel(); ++i) {
    ++counts[labels[i]];
  }
  int64_t n = 0;
  for (int64_t label = 0; label < NO_CLASS; ++label) {
    TORCH_CHECK(counts[label] == 0 || label < map.size(1), "label ", label, " for ", map.size(1), " classes");
    n += counts[label];
  }
  return n;
}

// Calls body(image) for all images.
template <typename Body>
void each_image(const Grid& grid, Body&& body) {
  at::parallel_for(0, grid.images, 1, [&](int64_t begin, int64_t end) {
    for (int64_t image = begin; image < end; ++image) {
      body(image);
    }
  });
}

// A loss and its gradient.
struct Loss {
  at::Tensor mean, gradient;
};

// Adds up `line(y, labels, loss of the pixels, gradient)` of each image, where `start(image)` makes `line`, and divides by
// the number of pixels that have a class; 0 if none has.
template <typename Start>
Loss mean_over_pixels(const at::Tensor& map, const at::Tensor& masks, Start&& start) {
  int64_t n = labelled(map, masks);
  Grid grid(map, masks.size(1), masks.size(2));
  std::vector<double> losses(grid.images, 0.0);
  at::Tensor gradient = at::zeros_like(map);
  each_image(grid, [&](int64_t image) {
    auto line = start(grid, image);
    LabelLine labels(grid, masks.const_data_ptr<uint8_t>() + image * grid.height * grid.width);
    GradientLines gradients(grid, gradient.data_ptr<float>() + image * grid.map_size());
    std::vector<float> loss(grid.pitch), buffer(grid.line());
    for (int64_t y = 0; y < grid.height; ++y) {
      std::fill(loss.begin(), loss.end(), 0.0f);
      line(y, labels.at(y), loss.data(), buffer.data());
      losses[image] += sum_of(loss);
      gradients.add(y, buffer.data());
    }
    gradients.finish();
  });
  double sum = 0.0, divisor = static_cast<double>(std::max<int64_t>(n, 1));
  for (double loss : losses) {
    sum += loss;
  }
  gradient.mul_(1.0 / divisor);
  return {at::scalar_tensor(sum / divisor, map.options()), gradient};
}

Loss cross_entropy(const at::Tensor& map, const at::Tensor& masks, double smoothing) {
  return mean_over_pixels(map, masks, [&](const Grid& grid, int64_t image) {
    return [&grid, smoothing, lines = Lines(grid, map.const_data_ptr<float>() + image * grid.map_size()),
            scores = std::vector<float>(grid.line()), sums = std::vector<float>(2 * grid.pitch)](
               int64_t y, const mutualnet::PixelLine& line, float* loss, float* gradient) mutable {
      const mutualnet::PixelKernels& kernels = mutualnet::kernels().pixels;
      lines.write(y, scores.data());
      kernels.softmax(scores.data(), gradient, sums.data(), sums.data() + grid.pitch, line);
      kernels.cross_entropy(scores.data(), gradient, sums.data(), static_cast<float>(smoothing), loss, line);
    };
  });
}

Loss kl_divergence(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& masks) {
  TORCH_CHECK(teacher.size(0) == student.size(0) && teacher.size(1) == student.size(1), "a teacher's map of shape ",
              teacher.sizes(), " for a student's of shape ", student.sizes());
  Grid of_teacher(teacher, masks.size(1), masks.size(2));
  return mean_over_pixels(student, masks, [&](const Grid& grid, int64_t image) {
    return [&grid, lines = Lines(grid, student.const_data_ptr<float>() + image * grid.map_size()),
            teachers = Lines(of_teacher, teacher.const_data_ptr<float>() + image * of_teacher.map_size()),
            scores = std::vector<float>(3 * grid.line()), sums = std::vector<float>(3 * grid.pitch)](
               int64_t y, const mutualnet::PixelLine& line, float* loss, float* gradient) mutable {
      const mutualnet::PixelKernels& kernels = mutualnet::kernels().pixels;
      float *own = scores.data(), *other = own + grid.line(), *target = other + grid.line();
      float* scratch = sums.data() + 2 * grid.pitch;
      lines.write(y, own);
      teachers.write(y, other);
      kernels.softmax(own, gradient, sums.data(), scratch, line);
      kernels.softmax(other, target, sums.data() + grid.pitch, scratch, line);
      kernels.kl_divergence(own, other, gradient, target, sums.data(), loss, line);
    };
  });
}

// A loss whose gradient is known already.
struct KnownGradient : torch::autograd::Function<KnownGradient> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& /* map */, const at::Tensor& mean,
                            const at::Tensor& gradient) {
    ctx->save_for_backward({gradient});
    return mean.clone();
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    return {ctx->get_saved_variables()[0] * gradients[0], at::Tensor(), at::Tensor()};
  }
};

template <typename Body>
at::Tensor* recorded(const at::Tensor& map, Body&& body) {
  Loss loss;
  {
    at::NoGradGuard no_grad;
    loss = body();
  }
  return new at::Tensor(KnownGradient::apply(map, loss.mean, loss.gradient));
}

// What is counted over the pixels of one image that have a class.
struct Counts {
  int64_t hits = 0;
  double entropy = 0.0;
  std::vector<int64_t> answers;
  std::vector<double> probabilities;
};

Counts count(const Grid& grid, const float* map, const uint8_t* mask) {
  const mutualnet::PixelKernels& kernels = mutualnet::kernels().pixels;
  Lines lines(grid, map);
  LabelLine labels(grid, mask);
  Counts counts{0, 0.0, std::vector<int64_t>(grid.classes, 0), std::vector<double>(grid.classes, 0.0)};
  std::vector<float> scores(2 * grid.line()), sums(grid.line()), entropies(3 * grid.pitch);
  std::vector<int32_t> best(grid.pitch);
  float *probabilities = scores.data() + grid.line(), *log_sum = entropies.data() + grid.pitch;
  for (int64_t y = 0; y < grid.height; ++y) {
    mutualnet::PixelLine line = labels.at(y);
    lines.write(y, scores.data());
    kernels.softmax(scores.data(), probabilities, log_sum, log_sum + grid.pitch, line);
    kernels.entropy(scores.data(), probabilities, log_sum, sums.data(), entropies.data(), line);
    kernels.answers(scores.data(), best.data(), log_sum, line);
    for (int64_t x = 0; x < grid.width; ++x) {
      if (line.labels[x] != NO_CLASS) {
        ++counts.answers[best[x]];
        counts.hits += best[x] == line.labels[x];
      }
    }
  }
  for (int64_t x = 0; x < grid.pitch; ++x) {
    counts.entropy += entropies[x];
    for (int64_t c = 0; c < grid.classes; ++c) {
      counts.probabilities[c] += sums[c * grid.pitch + x];
    }
  }
  return counts;
}

}  // namespace

extern "C" {

// `map` is [n, classes, h, w], `masks` [n, height, width] with 255 where there is no class.
char* mutualnet_pixel_cross_entropy(const at::Tensor* map, const at::Tensor* masks, double smoothing,
                                    at::Tensor** out) {
  return guarded([&] { *out = recorded(*map, [&] { return cross_entropy(readable(*map), *masks, smoothing); }); });
}

// Nothing flows back to the teacher.
char* mutualnet_pixel_kl_divergence(const at::Tensor* student, const at::Tensor* teacher, const at::Tensor* masks,
                                    at::Tensor** out) {
  return guarded([&] {
    *out = recorded(*student, [&] { return kl_divergence(readable(*student), readable(*teacher), *masks); });
  });
}

// Over all pixels that have a class: `counts` receives how many there are, how many are answered correctly and how many have
// the most frequent answer; `information` the entropy of the mean probabilities minus the mean entropy.
char* mutualnet_pixel_summary(const at::Tensor* map, const at::Tensor* masks, int64_t* counts, double* information) {
  return guarded([&] {
    at::Tensor x = readable(*map);
    int64_t n = labelled(x, *masks);
    Grid grid(x, masks->size(1), masks->size(2));
    std::vector<Counts> parts(grid.images);
    each_image(grid, [&](int64_t image) {
      parts[image] = count(grid, x.const_data_ptr<float>() + image * grid.map_size(),
                           masks->const_data_ptr<uint8_t>() + image * grid.height * grid.width);
    });
    int64_t hits = 0, most_frequent = 0;
    double entropy = 0.0, entropy_of_mean = 0.0, divisor = static_cast<double>(std::max<int64_t>(n, 1));
    for (const Counts& part : parts) {
      hits += part.hits;
      entropy += part.entropy;
    }
    for (int64_t c = 0; c < grid.classes; ++c) {
      int64_t answers = 0;
      double probability = 0.0;
      for (const Counts& part : parts) {
        answers += part.answers[c];
        probability += part.probabilities[c] / divisor;
      }
      most_frequent = std::max(most_frequent, answers);
      entropy_of_mean -= probability > 0.0 ? probability * std::log(probability) : 0.0;
    }
    counts[0] = n;
    counts[1] = hits;
    counts[2] = most_frequent;
    *information = entropy_of_mean - entropy / divisor;
  });
}

// The class with the largest score of every pixel, the first of several: `out` has room for all images of that size.
char* mutualnet_pixel_answers(const at::Tensor* map, int64_t height, int64_t width, uint8_t* out) {
  return guarded([&] {
    at::Tensor x = readable(*map);
    TORCH_CHECK(height > 0 && width > 0 && x.size(1) < NO_CLASS, "a map of scores of shape ", x.sizes());
    Grid grid(x, height, width);
    each_image(grid, [&](int64_t image) {
      Lines lines(grid, x.const_data_ptr<float>() + image * grid.map_size());
      std::vector<float> scores(grid.line()), scratch(grid.pitch);
      std::vector<int32_t> best(grid.pitch);
      for (int64_t y = 0; y < height; ++y) {
        lines.write(y, scores.data());
        mutualnet::kernels().pixels.answers(scores.data(), best.data(), scratch.data(),
                                            {grid.classes, grid.pitch, nullptr});
        std::copy_n(best.begin(), width, out + (image * height + y) * width);
      }
    });
  });
}

}  // extern "C"
