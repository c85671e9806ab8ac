<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// What PHP knows of the request.
header('Content-Type: application/json');
echo json_encode([
    'server' => array_map(fn($value) => is_string($value) ? mb_scrub_bytes($value) : $value, $_SERVER),
    'get' => $_GET,
    'post' => $_POST,
    'cookie' => $_COOKIE,
    'body' => md5(file_get_contents('php://input')),
    'length' => strlen(file_get_contents('php://input')),
    'pid' => getmypid(),
], JSON_INVALID_UTF8_SUBSTITUTE);

function mb_scrub_bytes($text)
{
    return preg_replace_callback('/[^\x20-\x7e]/', fn($found) => sprintf('\x%02x', ord($found[0])), $text);
}
