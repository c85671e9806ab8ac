// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway-host`: see the library and docs/host.md.

fn main() -> std::process::ExitCode {
    gangway_host::main()
}
