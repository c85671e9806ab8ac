<?php // SPDX-License-Identifier: MIT OR Apache-2.0
echo "the index of dir";
