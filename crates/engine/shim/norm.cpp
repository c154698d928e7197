// Batch norm and the activation that follows it as one differentiable operation, for channels-last floats
// on the CPU. Forward reads the input twice and writes once; only the input is kept for backward.

#include "guard.h"
#include "norm.h"

#include <torch/csrc/autograd/custom_function.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct NormActivation : torch::autograd::Function<NormActivation> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& mean, const at::Tensor& inverse,
                            Limits limits) {
    ctx->save_for_backward({x, weight, bias, mean, inverse});
    save(ctx, limits);
    return normalized(x, folded(weight, bias, mean, inverse), limits);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    variable_list saved = ctx->get_saved_variables();
    NormPass pass{saved[0], saved[1], saved[2], saved[3], saved[4], saved_limits(ctx)};
    std::vector<float> both = pass.scale_and_shift();
    at::Tensor dy = gradients[0].contiguous(channels_last_of(pass.x));
    std::vector<double> sums = pass.gradient_sums(dy, norm_of(both, pass.limits));
    variable_list result = pass.gradients(dy, at::empty_like(pass.x), both, sums);
    result.resize(6);
    return result;
  }
};

}  // namespace

extern "C" {

int mutualnet_is_recording() { return at::GradMode::is_enabled(); }

// Whether the fused operations support this tensor: floats on the CPU with a spatial dimension.
int mutualnet_can_fuse(const at::Tensor* x) {
  return x->device().is_cpu() && x->scalar_type() == at::kFloat && (x->dim() == 4 || x->dim() == 5) &&
         x->numel() > 0;
}

// `running_mean` and `running_variance` may both be null.
char* mutualnet_norm_activation(const at::Tensor* input, const at::Tensor* weight, const at::Tensor* bias,
                                at::Tensor* running_mean, at::Tensor* running_variance,
                                const NormSettings* settings, at::Tensor** out) {
  return guarded([&] {
    at::Tensor x = input->contiguous(channels_last_of(*input));
    Statistics statistics = batch_statistics(x, *weight, *bias, running_mean, running_variance, *settings);
    *out = new at::Tensor(NormActivation::apply(x, *weight, *bias, statistics.mean, statistics.inverse,
                                                settings->limits()));
  });
}

// Uses fixed statistics; autograd does not record it.
char* mutualnet_fixed_norm_activation(const at::Tensor* input, const at::Tensor* weight,
                                      const at::Tensor* bias, const at::Tensor* mean,
                                      const at::Tensor* variance, const NormSettings* settings,
                                      at::Tensor** out) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    at::Tensor x = input->contiguous(channels_last_of(*input));
    std::vector<float> both = fixed_scale_and_shift(x, *weight, *bias, *mean, *variance, settings->epsilon);
    *out = new at::Tensor(normalized(x, both, settings->limits()));
  });
}

}  // extern "C"
