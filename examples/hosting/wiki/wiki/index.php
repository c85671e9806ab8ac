<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// Answers every address below /wiki/ that is no file: the page of that title.
require __DIR__ . "/load.php";

$path = rawurldecode(parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH));
$title = trim(substr($path, strlen("/wiki/")), "/");
if ($title === "" || $title === "index.php") {
    $title = "Main page";
}
if (!is_file(page_path($title))) {
    http_response_code(404);
    show($title, "<p>There is no such page yet.");
    exit;
}
show($title, "<p>" . nl2br(htmlspecialchars(file_get_contents(page_path($title)))));
