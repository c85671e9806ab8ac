// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway`: see the library and docs/processes.md.

fn main() -> std::process::ExitCode {
    gangway_command::main()
}
