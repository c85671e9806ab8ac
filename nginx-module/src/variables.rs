// SPDX-License-Identifier: MIT OR Apache-2.0
//! What nginx knows of a request, for the core's meta-variables.

use gangway::{
    cgi::{Facts, Param, meta_variables},
    http::Fields,
};

use crate::{
    conf::{Handler, LocationConf, MainConf},
    raw::Request,
};

/// The variables of a request whose body has `length` bytes. `None` when nginx has no memory for a value.
pub(crate) fn build(
    request: Request,
    main: &MainConf,
    location: &LocationConf,
    handler: &Handler,
    length: u64,
) -> Option<Fields> {
    let indexes = main.variables?;
    let params: Vec<Param<'_>> = match &location.params {
        None => Vec::new(),
        Some(params) => params
            .iter()
            .map(|param| {
                let value = request.evaluate(param.value)?;
                Some(Param { name: &param.name, value, if_not_empty: param.if_not_empty })
            })
            .collect::<Option<_>>()?,
    };
    let port = request.server_port().to_string();
    let user =
        if request.satisfies_all() && crate::raw::auth_basic_guards(request) { request.user() } else { b"" };
    let has_body = length > 0 || !request.content_type().is_empty() || request.declares_body();
    let facts = Facts {
        method: request.method(),
        request_uri: request.unparsed_uri(),
        path: request.uri(),
        query: request.query(),
        protocol: request.protocol(),
        mount: &handler.mount,
        document_root: request.variable(indexes.document_root),
        server_name: request.server_name(),
        server_port: port.as_bytes(),
        server_addr: request.variable(indexes.server_addr),
        server_software: SOFTWARE,
        remote_addr: request.remote_addr(),
        remote_port: request.variable(indexes.remote_port),
        remote_user: user,
        auth_type: b"Basic",
        content_type: request.content_type(),
        content_length: has_body.then_some(length),
        https: request.is_tls(),
        pass_authorization: handler.config.pass_authorization(),
    };
    Some(meta_variables(&facts, request.headers(), &params))
}

/// SERVER_SOFTWARE: the nginx that the module was built for, as `$nginx_version` in fastcgi_params.
const SOFTWARE: &[u8] = nginx_sys::NGINX_VER.to_bytes();
