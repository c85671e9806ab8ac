// SPDX-License-Identifier: MIT OR Apache-2.0
//! What both halves of the Python engine share and nobody else needs: its log codes and lines, its panic fence,
//! what it states of itself, and response heads by the rules of PEP 3333. What every engine needs of the C ABI is in gangway-abi.

pub mod codes;
pub mod fence;
pub mod head;
pub mod log;
pub mod statement;
