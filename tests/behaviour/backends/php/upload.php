<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// multipart/form-data: a field and a file.
header('Content-Type: application/json');
$file = $_FILES['file'];
echo json_encode([
    'title' => $_POST['title'],
    'name' => $file['name'],
    'type' => $file['type'],
    'size' => $file['size'],
    'error' => $file['error'],
    'hash' => md5_file($file['tmp_name']),
]);
