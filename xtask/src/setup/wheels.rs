//! Which wheels libtorch comes from, and which files are extracted from each.
//!
//! Separate so that an update changes only this table.
//! Invariant: the versions are those that torch's own `Requires-Dist` pins.

use super::Variant;

/// The libtorch version that this workspace is built against; `tch` must require the same one.
pub(crate) const VERSION: &str = "2.11.0";

/// One wheel: the requirement for pip, the start of its file name, and what to extract from it.
pub(super) struct Wheel {
    pub(super) requirement: &'static str,
    pub(super) file_prefix: &'static str,
    /// Patterns for `unpack.py`.
    pub(super) take: &'static [&'static str],
}

const TORCH_CPU: Wheel = Wheel {
    requirement: "torch==2.11.0",
    file_prefix: "torch-",
    take: &[
        "tree:torch/include/",
        "torch/lib/libc10.so",
        "torch/lib/libgomp*",
        "torch/lib/libtorch.so",
        "torch/lib/libtorch_cpu.so",
    ],
};

const TORCH_CUDA: Wheel = Wheel {
    take: &[
        "tree:torch/include/",
        "torch/lib/libc10*.so",
        "torch/lib/libcaffe2_nvrtc.so",
        "torch/lib/libgomp*",
        "torch/lib/libtorch.so",
        "torch/lib/libtorch_cpu.so",
        "torch/lib/libtorch_cuda*.so",
        "torch/lib/libtorch_nvshmem.so",
    ],
    ..TORCH_CPU
};

const fn nvidia(requirement: &'static str, file_prefix: &'static str) -> Wheel {
    Wheel { requirement, file_prefix, take: &["nvidia/*/lib/*.so*"] }
}

/// `libtorch_cpu.so` links these two even without a GPU.
const CUDA_LINKED_BY_CPU: &[Wheel] = &[
    nvidia("nvidia-cuda-runtime==13.0.96", "nvidia_cuda_runtime-"),
    nvidia("nvidia-cuda-cupti==13.0.85", "nvidia_cuda_cupti-"),
];

const CUDA_ONLY: &[Wheel] = &[
    nvidia("nvidia-cublas==13.1.0.3", "nvidia_cublas-"),
    nvidia("nvidia-cuda-nvrtc==13.0.88", "nvidia_cuda_nvrtc-"),
    nvidia("nvidia-cudnn-cu13==9.19.0.56", "nvidia_cudnn_cu13-"),
    nvidia("nvidia-cufft==12.0.0.61", "nvidia_cufft-"),
    nvidia("nvidia-cufile==1.15.1.6", "nvidia_cufile-"),
    nvidia("nvidia-curand==10.4.0.35", "nvidia_curand-"),
    nvidia("nvidia-cusolver==12.0.4.66", "nvidia_cusolver-"),
    nvidia("nvidia-cusparse==12.6.3.3", "nvidia_cusparse-"),
    nvidia("nvidia-cusparselt-cu13==0.8.0", "nvidia_cusparselt_cu13-"),
    nvidia("nvidia-nccl-cu13==2.28.9", "nvidia_nccl_cu13-"),
    nvidia("nvidia-nvjitlink==13.0.88", "nvidia_nvjitlink-"),
    nvidia("nvidia-nvshmem-cu13==3.4.5", "nvidia_nvshmem_cu13-"),
    nvidia("nvidia-nvtx==13.0.85", "nvidia_nvtx-"),
];

/// The wheels of a variant, torch first.
pub(super) fn of(variant: Variant) -> Vec<&'static Wheel> {
    match variant {
        Variant::Cpu => std::iter::once(&TORCH_CPU).chain(CUDA_LINKED_BY_CPU).collect(),
        Variant::Cuda => std::iter::once(&TORCH_CUDA).chain(CUDA_LINKED_BY_CPU).chain(CUDA_ONLY).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_torch_wheel_is_the_pinned_version() {
        for variant in [Variant::Cpu, Variant::Cuda] {
            assert_eq!(of(variant)[0].requirement, format!("torch=={VERSION}"));
        }
    }

    #[test]
    fn file_prefixes_are_the_normalized_names() {
        for wheel in of(Variant::Cuda) {
            let (name, _) = wheel.requirement.split_once("==").unwrap();
            assert_eq!(wheel.file_prefix, format!("{}-", name.replace('-', "_")));
        }
    }
}
