<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// Writes a page. A wiki that others reach asks who writes; this one listens on 127.0.0.1 alone.
require __DIR__ . "/../load.php";

if ($_SERVER["REQUEST_METHOD"] === "POST" && is_string($_POST["title"] ?? null) && is_string($_POST["text"] ?? null)) {
    file_put_contents(page_path($_POST["title"]), $_POST["text"], LOCK_EX);
    header("Location: /wiki/" . rawurlencode($_POST["title"]), true, 303);
    exit;
}
show("write", '<form method="post"><input name="title"><textarea name="text"></textarea><button>write</button></form>');
