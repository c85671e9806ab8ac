<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// Counts the requests of a session.
session_start();
$_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;
header('Content-Type: text/plain');
echo $_SESSION['count'];
