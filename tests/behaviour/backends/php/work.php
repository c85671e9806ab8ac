<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// Notes in a file that it has run, answers with its process, and goes on working afterwards:
// ?note=FILE&gate=PATH until the test lets it go, ?ms=TIME for so long.
header('Content-Type: text/plain');
if (isset($_GET['note'])) {
    file_put_contents($_GET['note'], $_SERVER['REQUEST_METHOD'] . " {$_GET['n']}\n", FILE_APPEND);
}
echo getmypid();
if (isset($_GET['gate'])) {
    $gate = stream_socket_client('unix://' . $_GET['gate']);
    fastcgi_finish_request();
    fwrite($gate, "finished\n");
    fread($gate, 1);
} elseif (isset($_GET['ms'])) {
    fastcgi_finish_request();
    usleep(1000 * $_GET['ms']);
}
