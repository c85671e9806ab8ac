// SPDX-License-Identifier: MIT OR Apache-2.0
//! Criterion benchmarks of the core: `cargo bench --manifest-path benches/micro/Cargo.toml`.
