#!/usr/bin/ruby
# SPDX-License-Identifier: MIT OR Apache-2.0
# A FastCGI application on Ruby's fcgi, which takes requests on the socket that is its descriptor 0.

require 'fcgi'

FCGI.each do |request|
  case request.env['REQUEST_URI']
  when %r{/hello}
    request.out.print("Content-Type: text/plain\r\nX-Process: #{Process.pid}\r\n\r\nhello")
  when %r{/echo}
    request.out.print("Content-Type: application/octet-stream\r\n\r\n", request.in.read)
  else
    request.out.print("Status: 404 Not There\r\n\r\n")
  end
  request.finish
end
