# SPDX-License-Identifier: MIT OR Apache-2.0
VALUE = "beside the script"
