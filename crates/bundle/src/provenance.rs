//! Provenance: where a bundle and its measurements come from. It is stored and shown, and nothing depends on it.

use serde::{Deserialize, Serialize};

/// The machine that measurements were made on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Model name of the processor.
    pub cpu: String,
    /// Number of processors available to the process.
    pub cores: usize,
    /// Instruction sets that affect speed, such as `avx512f`.
    pub features: Vec<String>,
    /// Operating system and architecture, such as `linux x86_64`.
    pub os: String,
}

impl Host {
    /// The machine that this process runs on; what cannot be determined is `unknown`.
    pub fn detect() -> Self {
        Self {
            cpu: cpu_model().unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            features: features(),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

/// The processor's model name, which only Linux gives in a simple way.
fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<String> {
    let all = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ];
    all.into_iter().filter(|(_, here)| *here).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<String> {
    if cfg!(target_arch = "aarch64") { vec!["neon".to_owned()] } else { Vec::new() }
}

/// What a bundle was made from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// SHA-256 of everything in the recipe that decides the result, in hexadecimal.
    pub recipe_sha256: String,
    /// SHA-256 of the training split's classes, file names and sizes, in hexadecimal.
    pub data_sha256: String,
    /// Seed of the run.
    pub seed: u64,
    /// Version and commit of the program that tabulated the run.
    pub commit: String,
    /// When it was written, RFC 3339 in UTC.
    pub created: String,
    /// The machine on which the run was tabulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let host = Host::detect();
        assert!(host.cores >= 1 && !host.cpu.is_empty(), "{host:?}");
        assert!(host.os.contains(std::env::consts::ARCH));
    }
}
