/* SPDX-License-Identifier: MIT OR Apache-2.0
 * What bindgen reads: httpd's own headers, and the macros that it cannot turn into constants. */
#include <signal.h>

#include "httpd.h"
#include "http_config.h"
#include "ap_expr.h"
#include "ap_mpm.h"
#include "apr_buckets.h"
#include "apr_date.h"
#include "apr_optional.h"
#include "apr_optional_hooks.h"
#include "apr_portable.h"
#include "apr_strings.h"
#include "apr_tables.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "http_request.h"
#include "mod_auth.h"
#include "mod_include.h"
#include "mod_proxy.h"
#include "mpm_common.h"
#include "scoreboard.h"
#include "unixd.h"
#include "util_filter.h"
#include "util_script.h"

static const unsigned long GANGWAY_MAGIC_COOKIE = MODULE_MAGIC_COOKIE;
static const unsigned int GANGWAY_GLOBAL_ONLY = GLOBAL_ONLY;
static const unsigned int GANGWAY_NOT_IN_HTACCESS = NOT_IN_HTACCESS;
static const int GANGWAY_SIG_GRACEFUL = AP_SIG_GRACEFUL;
static const int GANGWAY_TIMEUP = APR_TIMEUP;
static const int GANGWAY_EAGAIN = APR_EAGAIN;
static const int GANGWAY_EOF = APR_EOF;
static const int GANGWAY_EGENERAL = APR_EGENERAL;
