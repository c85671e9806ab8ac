<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// The same answers as backend.c; linked under the name of each scenario.
header("Content-Type: text/plain");
switch (basename($_SERVER["SCRIPT_NAME"], ".php")) {
    case "post":
        if (strlen(file_get_contents("php://input")) !== 16 * 1024) {
            http_response_code(400);
        }
        // as hello
    case "hello":
        echo "Hello, World!\n";
        break;
    case "body":
        echo str_repeat("0123456789abcdef", 64 * 64);
        break;
    case "slow":
        echo str_repeat("0123456789abcdef", 64 * 1024);
        break;
}
