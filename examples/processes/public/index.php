<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// One script for every path that is no file, as the front controllers of frameworks are.
header("Content-Type: text/plain; charset=utf-8");
$path = parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH);
echo "PHP ", PHP_MAJOR_VERSION, " answers ", $path, " in process ", getmypid(), "\n";
