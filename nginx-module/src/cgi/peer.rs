// SPDX-License-Identifier: MIT OR Apache-2.0
//! A script in the place of a backend: what nginx takes for a balancer, and how it reads.

use std::{ffi::c_void, io::IoSliceMut, iter, time::Instant};

use gangway::{
    report,
    {engine::fence, error::SERVER_FAILED, run::Extent, sys::explain},
};
use nginx_sys::{
    ngx_chain_t, ngx_connection_t, ngx_http_request_t, ngx_http_upstream_srv_conf_t, ngx_int_t, ngx_pcalloc,
    ngx_peer_connection_t, ngx_str_t, ngx_uint_t,
};

use super::{connection, programs::Programs, run::ScriptRun, scripts, stdin};
use crate::{
    Shared,
    conf::LocationConf,
    raw::{AGAIN, Balancer, Conf, DONE, ERROR, Functions, OK, Request, rooms},
};

/// Parts of nginx's buffers that are read into at a time.
const PARTS: usize = 16;

/// An upstream whose balancer starts scripts.
pub(crate) fn server_conf(cf: &Conf) -> Option<*mut ngx_http_upstream_srv_conf_t> {
    // SAFETY: the pool of a configuration phase is live in it; all-zero is what nginx's own code starts from.
    unsafe {
        let size = size_of::<ngx_http_upstream_srv_conf_t>();
        let server = ngx_pcalloc((*cf.raw()).pool, size).cast::<ngx_http_upstream_srv_conf_t>().as_mut()?;
        server.peer.init = Some(init);
        server.host = ngx_str_t { len: 3, data: b"cgi".as_ptr().cast_mut() };
        Some(server)
    }
}

/// nginx's `peer.init`: the context is there already.
unsafe extern "C" fn init(r: *mut ngx_http_request_t, _: *mut ngx_http_upstream_srv_conf_t) -> ngx_int_t {
    fence("cgi::init", ERROR, || {
        // SAFETY: nginx calls this with a live request whose upstream `handler::start` has made.
        let request = unsafe { Request::from_raw(r) };
        let Some(upstream) = request.upstream() else { return ERROR };
        if let Some(programs) = request.location::<LocationConf>().settings::<Programs>() {
            crate::upstream::arrive(request, programs.counted);
        }
        upstream.set_balancer(Balancer { get: Some(get), free: Some(free), ..upstream.balancer() });
        upstream.set_tries(1);
        OK
    })
}

/// `$upstream_addr`, and the name in nginx's own lines.
static NAME: Shared<ngx_str_t> = Shared(ngx_str_t { len: 6, data: c"script".as_ptr().cast_mut().cast() });
/// nginx takes an address for the sign that `free` is to be called.
static ADDRESS: Shared<libc::sockaddr> =
    Shared(libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] });

unsafe extern "C" fn get(pc: *mut ngx_peer_connection_t, data: *mut c_void) -> ngx_int_t {
    fence("cgi::get", ERROR, || {
        // SAFETY: nginx calls this with the connection of a live request and the run that `handler::start` gave to its balancer.
        let (pc, run) = unsafe { (&mut *pc, &mut *data.cast::<ScriptRun>()) };
        pc.name = (&raw const NAME.0).cast_mut();
        pc.sockaddr = (&raw const ADDRESS.0).cast_mut().cast();
        pc.socklen = size_of::<libc::sockaddr>() as _;
        let functions = Functions {
            recv: Some(recv),
            send: None,
            recv_chain: Some(recv_chain),
            send_chain: Some(stdin::send_chain),
        };
        match connection::make(run.request, &functions) {
            Ok(connection) => {
                pc.connection = connection.raw();
                run.id = scripts::admit(run.request, connection, run.launch());
                DONE
            }
            Err(error) => {
                report!(run.request, Error, SERVER_FAILED, "a script has no connection: {}", explain(&error));
                ERROR
            }
        }
    })
}

/// nginx is done with the script: its response is whole, or it failed, or the client has left.
unsafe extern "C" fn free(pc: *mut ngx_peer_connection_t, data: *mut c_void, _: ngx_uint_t) {
    fence("cgi::free", (), || {
        // SAFETY: nginx calls this with the connection of a live request, which is still open or NULL, and the run that
        // `handler::start` gave to its balancer.
        let (pc, run) = unsafe { (&mut *pc, &mut *data.cast::<ScriptRun>()) };
        pc.tries = 0;
        // SAFETY: the connection has its events as long as it is open.
        let timed_out = unsafe { pc.connection.as_ref().is_some_and(|c| (*c.read).timedout() != 0) };
        let (extent, id) = (extent(run), std::mem::take(&mut run.id));
        if timed_out {
            scripts::with_script(id, |script| script.life.handle_silence());
        }
        scripts::leave(id, extent);
    });
}

/// How much of the response nginx has.
fn extent(run: &ScriptRun) -> Extent {
    let Some(upstream) = run.request.upstream() else { return Extent::Part };
    let is_elsewhere = scripts::with_script(run.id, |script| script.is_elsewhere) == Some(true);
    if run.request.is_head() || run.request.header_only() {
        Extent::Head
    } else if upstream.has_whole_body() || upstream.length() == 0 || is_elsewhere {
        Extent::Whole
    } else {
        Extent::Part
    }
}

/// nginx's `recv`.
unsafe extern "C" fn recv(c: *mut ngx_connection_t, buffer: *mut u8, size: usize) -> isize {
    fence("cgi::recv", ERROR, || {
        // SAFETY: nginx reads from the live connection of a live request, into memory of its own, of this size.
        unsafe { receive(c, iter::once(IoSliceMut::new(std::slice::from_raw_parts_mut(buffer, size)))) }
    })
}

/// nginx's `recv_chain`: into the room behind `last` of each buffer.
unsafe extern "C" fn recv_chain(c: *mut ngx_connection_t, chain: *mut ngx_chain_t, limit: i64) -> isize {
    fence("cgi::recv_chain", ERROR, || {
        // SAFETY: nginx reads into a chain of live buffers of its own, from the live connection of a live request.
        unsafe { receive(c, rooms(chain, limit).take(PARTS)) }
    })
}

/// Reads what the script has written, with what nginx wants to know about it.
///
/// # Safety
/// `c` is the live connection of a live request of ours.
unsafe fn receive<'a>(c: *mut ngx_connection_t, rooms: impl Iterator<Item = IoSliceMut<'a>>) -> isize {
    // SAFETY: `c` is live, says the caller, and so is its read event; its data is the request.
    let (r, read) = unsafe { ((*c).data.cast::<ngx_http_request_t>(), &mut *(*c).read) };
    // SAFETY: the request is live and its upstream one of ours, says the caller.
    let Some(id) = (unsafe { ScriptRun::with(r, |run| run.id) }) else { return ERROR };
    let Some(got) = scripts::with_script(id, |script| script.read_output(rooms)) else { return ERROR };
    if got.count > 0 {
        // With epoll there is no other word about an end that has been seen already.
        read.set_ready(u32::from(got.may_have_more));
        return got.count as isize;
    }
    read.set_ready(0);
    if !got.ended {
        return AGAIN;
    }
    // SAFETY: the request is live, says the caller.
    let request = unsafe { Request::from_raw(r) };
    crate::upstream::with_script_parser(request, |parser| {
        scripts::with_script(id, |script| script.life.handle_output_end(parser.raw(), Instant::now()))
    });
    scripts::act(id);
    // An answer of nothing has a cause, which the helper is about to tell.
    if scripts::with_script(id, |script| script.life.awaits_cause()) == Some(true) {
        return AGAIN;
    }
    if scripts::with_script(id, |script| script.is_cut) == Some(true) {
        return ERROR;
    }
    read.set_eof(1);
    0
}
