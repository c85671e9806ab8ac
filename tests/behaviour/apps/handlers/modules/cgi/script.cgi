#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
import os, sys
import beside
query = os.environ["QUERY_STRING"]
if query == "raises":
    raise KeyError("on purpose")
if query == "headless":
    print("no head at all")
elif query == "elsewhere":
    print("Location: /forms/calls?a=1\n")
elif query == "away":
    print("Location: http://other.example/\n")
elif query.startswith("to="):
    print(f"Location: {query[3:]}?a=1\n")
elif query == "framed":
    print("Content-Type: text/plain\nTransfer-Encoding: chunked\nContent-Length: 3\n\nall of it")
else:
    print("Status: 201 Made\nContent-Type: text/plain\nX-A: 1\n")
    print(beside.VALUE, os.path.basename(os.getcwd()), os.environ["REQUEST_METHOD"], os.environ.get("HTTP_PROXY"),
          os.environ.get("HTTP_AUTHORIZATION"), os.environ.get("PATH_INFO"), os.environ["SCRIPT_NAME"], len(sys.stdin.buffer.read()))
