# SPDX-License-Identifier: MIT OR Apache-2.0
"""A small HTTP/2 client with prior knowledge, or over TLS by ALPN."""

import socket
import ssl

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from .wire import Response


class Reset(AssertionError):
    """The server reset the stream. `response` holds what arrived, `code` the error code."""

    def __init__(self, response, code):
        super().__init__(f"stream reset with {code} after {len(response.body)} body bytes")
        self.response = response
        self.code = code


class Connection:
    def __init__(self, port, *, timeout=20.0, tls=False):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
            assert self.socket.selected_alpn_protocol() == "h2"
        # The client's own checks are off: tests send what a well-behaved client would not.
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=True,
        )
        self.state = h2.connection.H2Connection(config)
        self.state.decoder.max_header_list_size = 1 << 24
        self.state.initiate_connection()
        # A server that takes the links of early hints for pushes is asked not to: clients do not take them any more.
        settings = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20, h2.settings.SettingCodes.ENABLE_PUSH: 0}
        self.state.update_settings(settings)
        self.scheme = "https" if tls else "http"
        self.streams = {}
        self.closed = False
        # The streams go on when the server has said that it takes no more of them, for which h2 has no state.
        self.outlives_goaway = False
        self._raw = b""
        self._push()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def _push(self):
        if data := self.state.data_to_send():
            self.socket.sendall(data)

    def send_head(self, method, path, headers=(), *, end=True, host="localhost"):
        stream = self.state.get_next_available_stream_id()
        fields = [(":method", method), (":path", path), (":scheme", self.scheme), (":authority", host)]
        self.state.send_headers(stream, fields + list(headers), end_stream=end)
        self._push()
        self.streams[stream] = Response("HTTP/2", 0, "")
        return stream

    def send_body(self, stream, data, *, end=True):
        """Sends until everything is sent, or the server has answered or given up the stream."""
        try:
            self._send_body(stream, data, end)
        except (h2.exceptions.StreamClosedError, BrokenPipeError, ConnectionResetError):
            return

    def _send_body(self, stream, data, end):
        while data:
            room = min(self.state.local_flow_control_window(stream), self.state.max_outbound_frame_size)
            if room == 0:
                self._pump()
                if self.closed or self.streams[stream].complete:
                    return
                continue
            self.state.send_data(stream, data[:room])
            data = data[room:]
            self._push()
        if end:
            self.state.end_stream(stream)
            self._push()

    def send_trailers(self, stream, fields):
        self.state.send_headers(stream, list(fields), end_stream=True)
        self._push()

    def cancel(self, stream):
        self.state.reset_stream(stream, error_code=8)
        self._push()

    def request(self, method, path, headers=(), body=None):
        stream = self.send_head(method, path, headers, end=body is None)
        if body is not None:
            self.send_body(stream, body)
        return self.response(stream)

    def get(self, path, headers=()):
        return self.request("GET", path, headers)

    def _pump(self):
        """Reads once and applies the events."""
        data = self.socket.recv(65536)
        if not data:
            self.closed = True
            return
        for event in self.state.receive_data(self._without_goaway(data) if self.outlives_goaway else data):
            self._apply(event)
        self._push()

    def _without_goaway(self, data):
        """Whole frames but for those (RFC 9113 sections 4.1 and 6.8) that tell of no error."""
        self._raw += data
        whole = b""
        while len(self._raw) >= 9 and len(self._raw) >= (length := 9 + int.from_bytes(self._raw[:3], "big")):
            frame, self._raw = self._raw[:length], self._raw[length:]
            if frame[3] != 7 or frame[13:17] != bytes(4):
                whole += frame
        return whole

    def _apply(self, event):
        response = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ResponseReceived):
            fields = [(str(k), str(v)) for k, v in event.headers]
            response.status = int(fields[0][1])
            response.headers = fields[1:]
        elif isinstance(event, h2.events.InformationalResponseReceived):
            fields = [(str(k), str(v)) for k, v in event.headers]
            response.interim.append((int(fields[0][1]), fields[1:]))
        elif isinstance(event, h2.events.TrailersReceived):
            response.trailers = [(str(k), str(v)) for k, v in event.headers]
        elif isinstance(event, h2.events.DataReceived):
            response.body += event.data
            self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            response.complete = True
        elif isinstance(event, h2.events.StreamReset) and response is not None:
            response.reset = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.closed = True

    def response(self, stream):
        """The whole response; Reset when the server resets the stream first."""
        response = self.streams[stream]
        while not response.complete:
            if hasattr(response, "reset"):
                raise Reset(response, response.reset)
            if self.closed:
                raise ConnectionError(f"connection closed inside stream {stream}: {response}")
            self._pump()
        return response

    def until(self, condition):
        """Reads until `condition()` is true."""
        while not condition():
            assert not self.closed, "connection closed"
            self._pump()
