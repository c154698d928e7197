//! The most main memory that the process has taken so far.

/// In bytes; `None` on systems without `/proc`.
pub(super) fn peak_bytes() -> Option<u64> {
    high_water_mark(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn high_water_mark(status: &str) -> Option<u64> {
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read() {
        let status = "Name:\tmutualnet\nVmPeak:\t  900 kB\nVmHWM:\t  123456 kB\nVmRSS:\t 5 kB\n";
        assert_eq!(high_water_mark(status), Some(123_456 * 1024));
        assert_eq!(high_water_mark("Name:\tmutualnet\n"), None);
        assert_eq!(high_water_mark("VmHWM:\tmuch\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_that_was_touched_counts() {
        let before = peak_bytes().unwrap();
        let touched = vec![1_u8; 2 * before as usize];
        assert!(peak_bytes().unwrap() > before + touched.len() as u64 / 4);
    }
}
