/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * ABI 1.0 as numbers, for 64-bit systems. tests/abi.rs compiles this file and compares its claims with the types that
 * the core uses, so a change of include/gangway.h shows here first: a new member at the end adds a line and changes a
 * size, everything else is a new major version.
 */
#include <gangway.h>

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define MEMBER(type, member, offset) _Static_assert(offsetof(type, member) == (offset), #type "." #member)
#define VALUE(name, value) _Static_assert((name) == (value), #name)

SIZE(gw_bytes, 16);
MEMBER(gw_bytes, ptr, 0);
MEMBER(gw_bytes, len, 8);

SIZE(gw_field, 32);
MEMBER(gw_field, name, 0);
MEMBER(gw_field, value, 16);

SIZE(gw_app_spec, 80);
MEMBER(gw_app_spec, struct_size, 0);
MEMBER(gw_app_spec, name, 8);
MEMBER(gw_app_spec, interface_name, 24);
MEMBER(gw_app_spec, target, 40);
MEMBER(gw_app_spec, options, 56);
MEMBER(gw_app_spec, option_count, 64);
MEMBER(gw_app_spec, threads, 72);
MEMBER(gw_app_spec, flags, 76);

SIZE(gw_request_head, 40);
MEMBER(gw_request_head, struct_size, 0);
MEMBER(gw_request_head, variables, 8);
MEMBER(gw_request_head, variable_count, 16);
MEMBER(gw_request_head, content_length, 24);
MEMBER(gw_request_head, flags, 32);
MEMBER(gw_request_head, reserved, 36);

SIZE(gw_option, 48);
MEMBER(gw_option, struct_size, 0);
MEMBER(gw_option, name, 8);
MEMBER(gw_option, value, 16);
MEMBER(gw_option, flags, 20);
MEMBER(gw_option, least, 24);
MEMBER(gw_option, most, 28);
MEMBER(gw_option, default_text, 32);
MEMBER(gw_option, help, 40);

SIZE(gw_interface, 56);
MEMBER(gw_interface, struct_size, 0);
MEMBER(gw_interface, name, 8);
MEMBER(gw_interface, target_form, 16);
MEMBER(gw_interface, member, 24);
MEMBER(gw_interface, target, 32);
MEMBER(gw_interface, reserved, 36);
MEMBER(gw_interface, options, 40);
MEMBER(gw_interface, option_count, 48);

SIZE(gw_host, 88);
MEMBER(gw_host, struct_size, 0);
MEMBER(gw_host, abi_major, 8);
MEMBER(gw_host, abi_minor, 12);
MEMBER(gw_host, read_body, 16);
MEMBER(gw_host, start, 24);
MEMBER(gw_host, write, 32);
MEMBER(gw_host, write_owned, 40);
MEMBER(gw_host, send_file, 48);
MEMBER(gw_host, flush, 56);
MEMBER(gw_host, finish, 64);
MEMBER(gw_host, cancelled, 72);
MEMBER(gw_host, log, 80);

SIZE(gw_engine, 136);
MEMBER(gw_engine, struct_size, 0);
MEMBER(gw_engine, abi_major, 8);
MEMBER(gw_engine, abi_minor, 12);
MEMBER(gw_engine, name, 16);
MEMBER(gw_engine, flags, 24);
MEMBER(gw_engine, interfaces, 32);
MEMBER(gw_engine, interface_count, 40);
MEMBER(gw_engine, check, 48);
MEMBER(gw_engine, load, 56);
MEMBER(gw_engine, enter, 64);
MEMBER(gw_engine, leave, 72);
MEMBER(gw_engine, thread_end, 80);
MEMBER(gw_engine, handle, 88);
MEMBER(gw_engine, interrupt, 96);
MEMBER(gw_engine, unload, 104);
MEMBER(gw_engine, fork_prepare, 112);
MEMBER(gw_engine, fork_parent, 120);
MEMBER(gw_engine, fork_child, 128);

VALUE(GW_ABI_MAJOR, 1);
VALUE(GW_ABI_MINOR, 1);
VALUE(GW_OK, 0);
VALUE(GW_AGAIN, 1);
VALUE(GW_CANCELLED, 2);
VALUE(GW_ERROR, -1);
VALUE(GW_INVALID, -2);
VALUE(GW_MISUSE, -3);
VALUE(GW_APP_MULTIPROCESS, 1);
VALUE(GW_APP_TEMPLATE, 2);
VALUE(GW_REQUEST_NO_BODY, 1);
VALUE(GW_VALUE_TEXT, 0);
VALUE(GW_VALUE_SWITCH, 1);
VALUE(GW_VALUE_NUMBER, 2);
VALUE(GW_VALUE_SIZE, 3);
VALUE(GW_VALUE_TIME, 4);
VALUE(GW_VALUE_ASSIGNMENT, 5);
VALUE(GW_VALUE_FILE, 6);
VALUE(GW_VALUE_DIRECTORY, 7);
VALUE(GW_OPTION_REPEATS, 1);
VALUE(GW_TARGET_TEXT, 0);
VALUE(GW_TARGET_MEMBER, 1);
VALUE(GW_NOWAIT, 1);
VALUE(GW_FLUSH, 2);
VALUE(GW_LOG_ERROR, 1);
VALUE(GW_LOG_WARN, 2);
VALUE(GW_LOG_NOTICE, 3);
VALUE(GW_LOG_INFO, 4);
VALUE(GW_LOG_DEBUG, 5);
VALUE(GW_LOG_FURTHER, 6);
VALUE(GW_ENGINE_ASYNC, 1);

_Static_assert(sizeof(gw_status) == 4 && (gw_status)-1 < 0, "gw_status");
