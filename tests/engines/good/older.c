/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The engine of loop.c as a host of ABI 1.10 has it: what it is given ends where the tables of that time ended.
 */
#define gw_engine_entry entry_of_loop
#include "loop.c"
#undef gw_engine_entry

const gw_engine *gw_engine_entry(const gw_host *table);
const gw_engine *gw_engine_entry(const gw_host *table)
{
    static gw_sockets sockets;
    static gw_host older;
    memcpy(&sockets, table->sockets, offsetof(gw_sockets, descriptor));
    sockets.struct_size = offsetof(gw_sockets, descriptor);
    older = *table;
    older.abi_minor = 10;
    older.sockets = &sockets;
    return entry_of_loop(&older);
}
