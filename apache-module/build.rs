// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a module of httpd is linked.

fn main() {
    gangway_apxs::link_module();
}
