// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the Python engine states of itself: its interfaces and the options of an application. Here and not in the front,
//! because the tests of the documentation read it as well.

use std::ffi::CStr;

use gangway_abi::{
    constant::{Constant, pointers},
    ffi::{
        GW_INTERFACE_ASYNC, GW_INTERFACE_FIELDS, GW_INTERFACE_FORGETS_HEAD, GW_INTERFACE_WEBSOCKET,
        GW_OPTION_REPEATS, GW_TARGET_MEMBER, GW_TARGET_TEXT, GW_VALUE_ASSIGNMENT, GW_VALUE_DIRECTORY,
        GW_VALUE_FILE, GW_VALUE_SWITCH, GW_VALUE_TEXT, GW_VALUE_TIME, gw_interface, gw_option,
    },
};

const fn option(
    name: &'static CStr,
    value: u32,
    default_text: &'static CStr,
    help: &'static CStr,
) -> gw_option {
    gw_option {
        struct_size: size_of::<gw_option>(),
        name: name.as_ptr(),
        value,
        flags: 0,
        least: 0,
        most: 0,
        default_text: default_text.as_ptr(),
        help: help.as_ptr(),
    }
}

const fn constant(option: gw_option) -> Constant<gw_option> {
    // SAFETY: option() takes constant strings alone.
    unsafe { Constant::new(option) }
}

/// The options of an application, in the order of docs/directives.md.
pub static OPTIONS: [Constant<gw_option>; 6] = [
    constant(option(
        c"root",
        GW_VALUE_DIRECTORY,
        c"the directory of the file, if the target is a file",
        c"where the module is found",
    )),
    constant(option(c"venv", GW_VALUE_DIRECTORY, c"none", c"the virtual environment whose packages it uses")),
    constant(option(
        c"python",
        GW_VALUE_TEXT,
        c"that of venv, else the system's",
        c"a version, a prefix or a libpython",
    )),
    constant(gw_option {
        flags: GW_OPTION_REPEATS,
        ..option(c"env", GW_VALUE_ASSIGNMENT, c"none", c"a variable of the process's environment")
    }),
    constant(option(c"env_file", GW_VALUE_FILE, c"none", c"a file of such variables")),
    constant(option(c"debug", GW_VALUE_SWITCH, c"off", c"shows tracebacks to clients")),
];

/// What an application on an event loop has besides those.
pub static LOOP_OPTIONS: [Constant<gw_option>; 4] = [
    constant(option(c"loop", GW_VALUE_TEXT, c"auto", c"auto, asyncio or uvloop")),
    constant(option(c"lifespan", GW_VALUE_TEXT, c"auto", c"auto, on or off")),
    constant(option(c"startup_timeout", GW_VALUE_TIME, c"60s", c"how long the startup may take")),
    constant(option(
        c"disconnect_timeout",
        GW_VALUE_TIME,
        c"60s",
        c"how long a request may go on when its client has left",
    )),
];

/// What handlers have besides some of those.
pub static HANDLER_OPTIONS: [Constant<gw_option>; 3] = [
    constant(option(c"path", GW_VALUE_TEXT, c"none", c"an expression of Python for sys.path")),
    constant(gw_option {
        flags: GW_OPTION_REPEATS,
        ..option(
            c"import",
            GW_VALUE_TEXT,
            c"none",
            c"MODULE[::FUNCTION] INTERPRETER: what a process begins with",
        )
    }),
    constant(gw_option {
        flags: GW_OPTION_REPEATS,
        ..option(
            c"handler",
            GW_VALUE_TEXT,
            c"none",
            c"lines INTERPRETER, DIRECTORY, HANDLER, NAME=VALUE ...: one that a process is for; its module is loaded at once",
        )
    }),
];

static OPTION_LIST: Constant<[*const gw_option; 6]> = pointers(&OPTIONS);

/// What handlers can be told: all of a process use one Python. Their own words come with each request.
static HANDLER_OPTION_LIST: Constant<[*const gw_option; 7]> = {
    let [_, venv, python, env, env_file, _] = &OPTIONS;
    let [path, import, handler] = &HANDLER_OPTIONS;
    // SAFETY: the options are constant.
    unsafe {
        Constant::new([
            venv.get(),
            python.get(),
            env.get(),
            env_file.get(),
            path.get(),
            import.get(),
            handler.get(),
        ])
    }
};

const fn interface(
    name: &'static CStr,
    target_form: &'static CStr,
    options: &'static [*const gw_option],
) -> gw_interface {
    gw_interface {
        struct_size: size_of::<gw_interface>(),
        name: name.as_ptr(),
        target_form: target_form.as_ptr(),
        member: c"callable".as_ptr(),
        target: GW_TARGET_TEXT,
        flags: 0,
        options: options.as_ptr(),
        option_count: options.len(),
    }
}

static ASGI_OPTION_LIST: Constant<[*const gw_option; 10]> = {
    let [root, venv, python, env, env_file, debug] = &OPTIONS;
    let [event_loop, lifespan, startup_timeout, disconnect_timeout] = &LOOP_OPTIONS;
    // SAFETY: the options are constant.
    unsafe {
        Constant::new([
            root.get(),
            venv.get(),
            python.get(),
            env.get(),
            env_file.get(),
            debug.get(),
            event_loop.get(),
            lifespan.get(),
            startup_timeout.get(),
            disconnect_timeout.get(),
        ])
    }
};

static STATED: [Constant<gw_interface>; 3] = [
    // SAFETY: the strings and the list are constant.
    unsafe {
        Constant::new(gw_interface {
            target: GW_TARGET_MEMBER,
            ..interface(
                c"wsgi",
                c"MODULE:CALLABLE or /path/file.py:CALLABLE, for example blog.wsgi:application",
                OPTION_LIST.get(),
            )
        })
    },
    // SAFETY: the strings and the list are constant.
    unsafe { Constant::new(interface(c"handlers", c"mod_python", HANDLER_OPTION_LIST.get())) },
    // SAFETY: the strings and the list are constant.
    unsafe {
        Constant::new(gw_interface {
            target: GW_TARGET_MEMBER,
            // The scope is made before the application runs, and nothing of the head is looked at after that.
            flags: GW_INTERFACE_ASYNC
                | GW_INTERFACE_WEBSOCKET
                | GW_INTERFACE_FIELDS
                | GW_INTERFACE_FORGETS_HEAD,
            ..interface(
                c"asgi",
                c"MODULE:CALLABLE or /path/file.py:CALLABLE, for example main:app",
                ASGI_OPTION_LIST.get(),
            )
        })
    },
];

/// The interfaces of the engine, as its table holds them.
pub static INTERFACES: Constant<[*const gw_interface; 3]> = pointers(&STATED);
