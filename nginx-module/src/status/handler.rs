// SPDX-License-Identifier: MIT OR Apache-2.0
//! The content phase: GET and HEAD alone.

use gangway::{
    engine::fence,
    error::SERVER_FAILED,
    exchange::Piece,
    http::{Fields, Head},
    report,
    status::{ServerSnapshot, StatusDetail, StatusForm, write},
};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use crate::{
    conf::LocationConf,
    managed,
    raw::{ERROR, INTERNAL_SERVER_ERROR, NOT_ALLOWED, Request},
    serve::{
        counting,
        head::{self, Sent},
    },
};

pub(crate) unsafe extern "C" fn content_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("status::content_handler", INTERNAL_SERVER_ERROR, || {
        // SAFETY: nginx calls a content handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        if !request.is_safe() {
            // Without memory for the header the status says enough.
            let _ = head::add(request, b"Allow", b"GET, HEAD");
            return NOT_ALLOWED;
        }
        let location = request.location::<LocationConf>();
        let detail = location.settings::<StatusDetail>().copied().unwrap_or_default();
        match request.discard_body() {
            0 => answer(request, detail),
            status => status,
        }
    })
}

fn answer(request: Request, detail: StatusDetail) -> ngx_int_t {
    let Some(board) = counting::board() else {
        report!(
            request,
            Error,
            SERVER_FAILED,
            "there are no figures: a line from the start of nginx says why"
        );
        return INTERNAL_SERVER_ERROR;
    };
    let server = String::from_utf8_lossy(nginx_sys::NGINX_VER.to_bytes());
    let snapshot = ServerSnapshot::take(board, &server, detail, managed::processes_of);
    let accept = request.headers().find(|(name, _)| name.eq_ignore_ascii_case(b"accept"));
    let form = StatusForm::wanted(request.uri(), request.query(), accept.map(|(_, value)| value));
    let body = write(form, &snapshot);
    let mut all = Fields::default();
    form.headers().iter().for_each(|(name, value)| all.push(name.as_bytes(), value.as_bytes()));
    let head = Head { status: 200, reason: Vec::new(), fields: all, content_length: Some(body.len() as u64) };
    match head::send(request, &head, true) {
        Sent::Failed(status) => status,
        // No field says so.
        Sent::Redirect(_) => ERROR,
        Sent::Header if request.header_only() => 0,
        Sent::Header => request.send_all(vec![Piece::Copied(body.into_bytes())]),
    }
}
