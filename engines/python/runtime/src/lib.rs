// SPDX-License-Identifier: MIT OR Apache-2.0
//! gangway-python-runtime
