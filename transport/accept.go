package transport

import (
	"bytes"
	"encoding/base64"
	"net"
	"net/http"
	"strings"
	"time"
)

// Accept answers an opening handshake and returns the connection, which is not
// yet started. The caller has authenticated the request before. Headers set on w
// are sent along; extensions and subprotocols are declined.
//
// It takes an HTTP/1.1 GET as in RFC 6455 §4.2.1. To anything else it sends an
// HTTP error and returns ErrBadRequest. ErrHandshake means that the network
// connection failed. After either the caller has nothing more to do.
//
// The connection keeps neither r nor w nor their buffers. The HTTP handler should
// return soon, so that its goroutine ends.
func Accept(w http.ResponseWriter, r *http.Request, o *Options) (*Conn, error) {
	if o == nil {
		o = &Options{}
	}
	if status, text := refuse(w.Header(), r); status != 0 {
		http.Error(w, text, status)
		return nil, ErrBadRequest.because(text)
	}
	// A wrapped ResponseWriter may have no Hijack method but an Unwrap method.
	nc, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "connection cannot be upgraded", http.StatusInternalServerError)
		return nil, ErrHandshake.with(err)
	}
	var leftover []byte
	if n := brw.Reader.Buffered(); n > 0 {
		peeked, _ := brw.Reader.Peek(n)
		leftover = bytes.Clone(peeked)
	}
	nc = o.wrap(nc)
	if err := writeAnswer(nc, w.Header(), r.Header.Get("Sec-WebSocket-Key"), o.handshakeTimeout()); err != nil {
		_ = nc.Close()
		return nil, ErrHandshake.with(err)
	}
	c, err := newConn(o, nc, false, leftover)
	if err != nil {
		_ = nc.Close()
		return nil, ErrHandshake.with(err)
	}
	return c, nil
}

// refuse returns the HTTP status and text for a request that is no opening
// handshake, and sets the headers that go with it; else 0.
func refuse(answer http.Header, r *http.Request) (int, string) {
	h := r.Header
	key, err := base64.StdEncoding.DecodeString(h.Get("Sec-WebSocket-Key"))
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return http.StatusHTTPVersionNotSupported, "WebSocket needs HTTP/1.1"
	case r.Method != http.MethodGet:
		answer.Set("Allow", http.MethodGet)
		return http.StatusMethodNotAllowed, "WebSocket needs GET"
	case !hasToken(h, "Connection", "upgrade") || !hasToken(h, "Upgrade", "websocket"):
		answer.Set("Connection", "Upgrade")
		answer.Set("Upgrade", "websocket")
		return http.StatusUpgradeRequired, "a WebSocket upgrade is required"
	case h.Get("Sec-WebSocket-Version") != "13" || len(h["Sec-Websocket-Version"]) != 1:
		answer.Set("Sec-WebSocket-Version", "13")
		return http.StatusUpgradeRequired, "only WebSocket version 13 is supported"
	case len(h["Sec-Websocket-Key"]) != 1 || err != nil || len(key) != 16:
		return http.StatusBadRequest, "bad Sec-WebSocket-Key"
	case r.ContentLength != 0:
		return http.StatusBadRequest, "an opening handshake has no body"
	}
	return 0, ""
}

// hasToken reports whether a header that is a list holds token, which is in lower
// case.
func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}

// writeAnswer sends the 101, and clears the deadlines that the server has set.
func writeAnswer(nc net.Conn, extra http.Header, key string, timeout time.Duration) error {
	b := bytes.NewBufferString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + acceptKey(key) + "\r\n")
	err := extra.WriteSubset(b, map[string]bool{
		"Upgrade": true, "Connection": true, "Content-Length": true, "Transfer-Encoding": true,
		"Sec-Websocket-Accept": true, "Sec-Websocket-Extensions": true, "Sec-Websocket-Protocol": true,
	})
	if err != nil {
		return err
	}
	b.WriteString("\r\n")
	if err := nc.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := nc.Write(b.Bytes()); err != nil {
		return err
	}
	return nc.SetDeadline(time.Time{})
}
