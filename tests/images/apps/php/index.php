<?php header("Content-Type: text/plain"); echo "php ", PHP_SAPI, "\n";
