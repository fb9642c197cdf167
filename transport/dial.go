package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	maxAnswerHeader = 64 << 10
	maxAnswerBody   = 4 << 10
)

// Dial opens a connection to a ws or wss URL, sending header with the opening
// handshake, and returns it not yet started. It blocks until the handshake is
// done, for at most HandshakeTimeout; ctx covers all of it, and nothing after it.
//
// It returns a *HandshakeError when the server refuses, ErrBadURL, ErrDial or
// ErrHandshake otherwise. Redirects are not followed and proxies not used.
func Dial(ctx context.Context, rawURL string, header http.Header, o *Options) (*Conn, error) {
	if o == nil {
		o = &Options{}
	}
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.handshakeTimeout())
	defer cancel()
	nc, err := o.connect(ctx, u)
	if err != nil {
		return nil, ErrDial.with(err)
	}
	leftover, err := upgrade(ctx, nc, u, header)
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	c, err := newConn(o, nc, true, leftover)
	if err != nil {
		_ = nc.Close()
		return nil, ErrHandshake.with(err)
	}
	return c, nil
}

func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		// The error of url.Parse quotes the URL, which may hold a secret.
		return nil, ErrBadURL.because("cannot be parsed")
	case u.Scheme != "ws" && u.Scheme != "wss":
		return nil, ErrBadURL.because("scheme is not ws or wss")
	case u.Hostname() == "":
		return nil, ErrBadURL.because("no host")
	case u.User != nil || u.Fragment != "": // RFC 6455 §3
		return nil, ErrBadURL.because("user or fragment")
	}
	return u, nil
}

// connect opens the network connection, with TLS for wss.
func (o *Options) connect(ctx context.Context, u *url.URL) (net.Conn, error) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	nc, err := o.dialNet(ctx, net.JoinHostPort(u.Hostname(), port))
	if err != nil || u.Scheme == "ws" {
		return nc, err
	}
	config := o.TLS.Clone() // works on nil
	if config == nil {
		config = &tls.Config{}
	}
	if config.ServerName == "" {
		config.ServerName = u.Hostname()
	}
	config.NextProtos = []string{"http/1.1"}
	tc := tls.Client(nc, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return tc, nil
}

// upgrade does the opening handshake of RFC 6455 §4.1 and returns what has been
// read beyond it.
func upgrade(ctx context.Context, nc net.Conn, u *url.URL, header http.Header) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	leftover, err := exchange(nc, u, header)
	var refused *HandshakeError
	if errors.As(err, &refused) {
		return nil, refused
	}
	if ctx.Err() != nil {
		return nil, ErrHandshake.with(context.Cause(ctx))
	}
	if err != nil {
		return nil, err
	}
	if !stop() {
		return nil, ErrHandshake.with(context.Cause(ctx))
	}
	return leftover, nil
}

func exchange(nc net.Conn, u *url.URL, header http.Header) ([]byte, error) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	req := newRequest(u, header, key)
	var b bytes.Buffer
	if err := req.Write(&b); err != nil {
		return nil, ErrHandshake.with(err)
	}
	if _, err := nc.Write(b.Bytes()); err != nil {
		return nil, ErrHandshake.with(err)
	}
	br := bufio.NewReader(io.LimitReader(nc, maxAnswerHeader))
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return nil, ErrHandshake.with(fmt.Errorf("read answer: %w", err))
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		// An error on the way only shortens the body.
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBody))
		return nil, &HandshakeError{StatusCode: resp.StatusCode, Header: resp.Header, Body: body}
	}
	if err := checkAnswer(resp.Header, header, key); err != nil {
		return nil, err
	}
	leftover, _ := br.Peek(br.Buffered())
	return bytes.Clone(leftover), nil
}

func newRequest(u *url.URL, header http.Header, key string) *http.Request {
	target := *u
	target.Scheme = map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	req := &http.Request{
		Method: http.MethodGet, URL: &target, Host: u.Host, Header: header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", key)
	req.Header.Del("Sec-WebSocket-Extensions")
	return req
}

// checkAnswer checks a 101 as RFC 6455 §4.1 demands.
func checkAnswer(answer, asked http.Header, key string) error {
	switch protocol := answer.Get("Sec-WebSocket-Protocol"); {
	case !hasToken(answer, "Upgrade", "websocket") || !hasToken(answer, "Connection", "upgrade"):
		return ErrHandshake.because("answer is not a WebSocket upgrade")
	case answer.Get("Sec-WebSocket-Accept") != acceptKey(key):
		return ErrHandshake.because("wrong Sec-WebSocket-Accept")
	case answer.Get("Sec-WebSocket-Extensions") != "":
		return ErrHandshake.because("server uses an extension that was not offered")
	case protocol != "" && !hasToken(asked, "Sec-WebSocket-Protocol", protocol):
		return ErrHandshake.because("server uses a subprotocol that was not offered")
	}
	return nil
}
