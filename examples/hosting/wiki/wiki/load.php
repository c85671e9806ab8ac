<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// What every script begins with. Pages are files of the wiki's user, in a folder that nobody else reads and no address leads to.
const PAGES = __DIR__ . "/../data";

function page_path(string $title): string
{
    return PAGES . "/" . rawurlencode($title) . ".txt";
}

function show(string $title, string $content): void
{
    header("Content-Type: text/html; charset=utf-8");
    $title = htmlspecialchars($title);
    echo "<!doctype html>\n<title>$title</title>\n<link rel=\"stylesheet\" href=\"/wiki/style.css\">\n<h1>$title</h1>\n$content\n";
    echo "<p>PHP in process ", getmypid(), " of user ", posix_geteuid(), "\n";
}
