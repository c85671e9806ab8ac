// SPDX-License-Identifier: MIT OR Apache-2.0

// A FastCGI application on Go's net/http/fcgi: it takes requests on the socket that is its descriptor 0, several at a time.
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/fcgi"
	"os"
	"strings"
	"sync"
)

// Those that have come to /together wait until there are as many as they ask for.
var (
	lock  sync.Mutex
	count int
	all   = make(chan struct{})
)

func together(writer http.ResponseWriter, wanted int) {
	lock.Lock()
	count++
	if count == wanted {
		close(all)
	}
	lock.Unlock()
	<-all
	fmt.Fprint(writer, "together")
}

func main() {
	handler := func(writer http.ResponseWriter, request *http.Request) {
		writer.Header().Set("X-Process", fmt.Sprint(os.Getpid()))
		switch path := request.URL.Path; {
		case strings.HasSuffix(path, "/hello"):
			fmt.Fprint(writer, "hello")
		case strings.HasSuffix(path, "/echo"):
			io.Copy(writer, request.Body)
		case strings.HasSuffix(path, "/together"):
			together(writer, 4)
		default:
			http.NotFound(writer, request)
		}
	}
	if err := fcgi.Serve(nil, http.HandlerFunc(handler)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
