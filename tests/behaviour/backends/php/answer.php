<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// Answers as the query says.
switch ($_GET['how']) {
    case 'status':
        http_response_code((int) $_GET['status']);
        echo 'body';
        break;
    case 'redirect':
        header('Location: ' . $_GET['to']);
        break;
    case 'cookies':
        setcookie('a', '1');
        setcookie('b', '2');
        echo 'body';
        break;
    case 'log':
        error_log('a line of the application');
        error_log("two lines\nof the application");
        echo 'logged';
        break;
    case 'fatal':
        echo 'before';
        throw new Exception('nobody catches this');
    case 'large':
        for ($left = (int) $_GET['size'], $block = str_repeat('0123456789abcdef', 4096); $left > 0; $left -= 65536) {
            echo substr($block, 0, $left);
        }
        break;
    case 'headers':
        for ($number = 0; $number < (int) $_GET['count']; $number++) {
            header("X-Large-$number: " . str_repeat('v', 1000));
        }
        echo 'body';
        break;
    case 'length':
        header('Content-Length: 4');
        echo 'body';
        break;
    case 'exit':
        // Without the extension posix, which php-fpm does not need.
        exec('kill -9 ' . getmypid());
        break;
}
