<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// Meets the test between its steps: ?gate=PATH&what=flush|finish|leave
header('Content-Type: text/plain');
$gate = stream_socket_client('unix://' . $_GET['gate']);

function at($event)
{
    global $gate;
    fwrite($gate, "$event\n");
    return fread($gate, 1);
}

if ($_GET['what'] === 'flush') {
    for ($number = 0; $number < 3; $number++) {
        echo "part $number;";
        flush();
        at("after $number");
    }
} elseif ($_GET['what'] === 'finish') {
    echo 'the answer';
    fastcgi_finish_request();
    at('finished');
    fwrite($gate, "still here\n");
} elseif ($_GET['what'] === 'leave') {
    ignore_user_abort(false);
    register_shutdown_function(fn() => fwrite($gate, 'aborted ' . connection_aborted() . "\n"));
    at('running');
    for (;;) {
        echo str_repeat('x', 1000);
        flush();
    }
} else {
    at($_GET['what']);
    echo $_GET['what'];
}
