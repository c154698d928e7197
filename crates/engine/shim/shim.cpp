// Functions that `tch` does not expose: memory formats, fused SGD and AdamW, gradient slices, process settings.
// Tensors are passed as `at::Tensor*`, the pointer inside a `tch::Tensor`.
// Results are new tensors on the heap, which the caller owns.

#include "guard.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <vector>

namespace {

// oneDNN compiles a kernel for every shape and keeps the last 1024, its default. Sub-networks of random widths have more
// shapes than that, and would be compiled again and again. Before `main`, so that no other thread reads the environment.
__attribute__((constructor)) void keep_more_kernels() {
  setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192", 0);
}

at::MemoryFormat channels_last_of(const at::Tensor& tensor) {
  switch (tensor.dim()) {
    case 4:
      return at::MemoryFormat::ChannelsLast;
    case 5:
      return at::MemoryFormat::ChannelsLast3d;
    default:
      return at::MemoryFormat::Contiguous;
  }
}

at::Tensor prefix_of(const at::Tensor& tensor, const int64_t* sizes, int64_t rank) {
  TORCH_CHECK(rank <= tensor.dim(), "a prefix of ", rank, " dimensions of a tensor that has ", tensor.dim());
  at::Tensor view = tensor;
  for (int64_t dim = 0; dim < rank; ++dim) {
    if (sizes[dim] != tensor.size(dim)) {
      view = view.narrow(dim, 0, sizes[dim]);
    }
  }
  return view;
}

std::vector<at::Tensor> list_of(at::Tensor* const* tensors, int64_t count) {
  std::vector<at::Tensor> list;
  list.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    list.push_back(*tensors[i]);
  }
  return list;
}

// Whether two tensors of the same shape have their elements in the same order; strides of dimensions of size 1
// do not matter.
bool same_order(const at::Tensor& a, const at::Tensor& b) {
  for (int64_t dim = 0; dim < a.dim(); ++dim) {
    if (a.size(dim) > 1 && a.stride(dim) != b.stride(dim)) {
      return false;
    }
  }
  return true;
}

// The fused kernel walks through raw memory, so the elements must have the same order.
at::Tensor in_memory_order_of(const at::Tensor& reference, const at::Tensor& tensor) {
  TORCH_CHECK(reference.is_non_overlapping_and_dense(), "a parameter must be dense");
  TORCH_CHECK(reference.sizes() == tensor.sizes(), "parameter of shape ", reference.sizes(),
              " and gradient or momentum of shape ", tensor.sizes());
  if (same_order(reference, tensor)) {
    return tensor;
  }
  at::Tensor ordered = at::empty_strided(reference.sizes(), reference.strides(), tensor.options());
  ordered.copy_(tensor);
  return ordered;
}

std::string directory_of_libtorch() {
  Dl_info info;
  auto symbol = reinterpret_cast<void*>(static_cast<int (*)()>(&at::get_num_threads));
  TORCH_CHECK(dladdr(symbol, &info) != 0 && info.dli_fname != nullptr, "cannot tell where libtorch is");
  std::string path = info.dli_fname;
  return path.substr(0, path.find_last_of('/'));
}

}  // namespace

extern "C" {

void mutualnet_free_message(char* message) { std::free(message); }

const char* mutualnet_libtorch_version() { return TORCH_VERSION; }

char* mutualnet_set_threads(int threads) {
  return guarded([&] { at::set_num_threads(threads); });
}

char* mutualnet_set_flush_denormal(int on, int* supported) {
  return guarded([&] { *supported = at::globalContext().setFlushDenormal(on != 0); });
}

// The linker drops a library from which no symbol is used, so the CUDA library is loaded here.
char* mutualnet_load_cuda() {
  return guarded([] {
    std::string path = directory_of_libtorch() + "/libtorch_cuda.so";
    struct stat found;
    if (stat(path.c_str(), &found) != 0) {
      return;
    }
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    TORCH_CHECK(handle != nullptr, "cannot load ", path, ": ", dlerror());
  });
}

char* mutualnet_cuda_count(int64_t* count) {
  return guarded([&] { *count = static_cast<int64_t>(torch::cuda::device_count()); });
}

char* mutualnet_cuda_synchronize(int64_t index) {
  return guarded([&] { torch::cuda::synchronize(index); });
}

// The owner of the values lives until the last tensor that uses them is gone or, after a failure, until the return.
char* mutualnet_adopt_floats(float* values, const int64_t* sizes, int64_t rank, void* owner, void (*free_owner)(void*),
                             at::Tensor** out) {
  return guarded([&] {
    std::shared_ptr<void> held(owner, free_owner);
    auto release = [held](void*) mutable { held.reset(); };
    *out = new at::Tensor(at::from_blob(values, at::IntArrayRef(sizes, rank), release, at::kFloat));
  });
}

// Pinned memory with arbitrary content, from which a GPU copies at full speed.
char* mutualnet_pinned_floats(int64_t count, at::Tensor** out) {
  return guarded([&] { *out = new at::Tensor(at::empty({count}, at::TensorOptions(at::kFloat).pinned_memory(true))); });
}

char* mutualnet_channels_last(const at::Tensor* tensor, at::Tensor** out) {
  return guarded([&] { *out = new at::Tensor(tensor->contiguous(channels_last_of(*tensor))); });
}

char* mutualnet_copy(const at::Tensor* tensor, at::Tensor** out) {
  return guarded([&] { *out = new at::Tensor(tensor->clone()); });
}

int mutualnet_is_channels_last(const at::Tensor* tensor) {
  return tensor->is_contiguous(channels_last_of(*tensor));
}

char* mutualnet_clear_grad(at::Tensor* tensor) {
  return guarded([&] { tensor->mutable_grad().reset(); });
}

char* mutualnet_set_grad(at::Tensor* tensor, const at::Tensor* grad) {
  return guarded([&] {
    TORCH_CHECK(tensor->sizes() == grad->sizes(), "a gradient of shape ", grad->sizes());
    tensor->mutable_grad() = grad->detach();
  });
}

char* mutualnet_prefix(const at::Tensor* tensor, const int64_t* sizes, int64_t rank, at::Tensor** out) {
  return guarded([&] { *out = new at::Tensor(prefix_of(*tensor, sizes, rank)); });
}

char* mutualnet_leaf_prefix(const at::Tensor* tensor, const int64_t* sizes, int64_t rank, at::Tensor** out) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    at::Tensor view = prefix_of(*tensor, sizes, rank);
    at::Tensor leaf = view.contiguous(channels_last_of(view)).detach();
    leaf.set_requires_grad(true);
    *out = new at::Tensor(std::move(leaf));
  });
}

char* mutualnet_add_prefix(at::Tensor* whole, const at::Tensor* part) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    TORCH_CHECK(whole->dim() == part->dim(), "ranks differ");
    prefix_of(*whole, part->sizes().data(), part->dim()).add_(*part);
  });
}

struct SgdSettings {
  double lr;
  double momentum;
  double weight_decay;
  int nesterov;
  int first_step;
};

char* mutualnet_fused_sgd(at::Tensor* const* params, at::Tensor* const* grads, at::Tensor* const* buffers,
                          int64_t count, const SgdSettings* settings) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    if (count == 0) {
      return;
    }
    std::vector<at::Tensor> param_list = list_of(params, count);
    std::vector<at::Tensor> grad_list = list_of(grads, count);
    for (int64_t i = 0; i < count; ++i) {
      grad_list[i] = in_memory_order_of(param_list[i], grad_list[i]);
      *buffers[i] = in_memory_order_of(param_list[i], *buffers[i]);
    }
    std::vector<at::Tensor> buffer_list = list_of(buffers, count);
    at::_fused_sgd_(param_list, grad_list, buffer_list, settings->weight_decay, settings->momentum,
                    settings->lr, /*dampening=*/0.0, settings->nesterov != 0, /*maximize=*/false,
                    settings->first_step != 0);
  });
}

struct AdamWSettings {
  double lr;
  double beta1;
  double beta2;
  double eps;
  double weight_decay;
  int64_t step;
};

char* mutualnet_fused_adamw(at::Tensor* const* params, at::Tensor* const* grads, at::Tensor* const* means,
                            at::Tensor* const* squares, int64_t count, const AdamWSettings* settings) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    if (count == 0) {
      return;
    }
    std::vector<at::Tensor> param_list = list_of(params, count);
    std::vector<at::Tensor> grad_list = list_of(grads, count);
    std::vector<at::Tensor> step_list;
    for (int64_t i = 0; i < count; ++i) {
      grad_list[i] = in_memory_order_of(param_list[i], grad_list[i]);
      *means[i] = in_memory_order_of(param_list[i], *means[i]);
      *squares[i] = in_memory_order_of(param_list[i], *squares[i]);
      step_list.push_back(at::full({}, settings->step, param_list[i].options()));
    }
    at::_fused_adamw_(param_list, grad_list, list_of(means, count), list_of(squares, count),
                      /*max_exp_avg_sqs=*/{}, step_list, settings->lr, settings->beta1, settings->beta2,
                      settings->weight_decay, settings->eps, /*amsgrad=*/false, /*maximize=*/false);
  });
}

}  // extern "C"
