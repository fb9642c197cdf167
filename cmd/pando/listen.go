package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/url"
)

// endpoint is where a server listens, and how.
type endpoint struct {
	addr, cert, key string
}

// check finds what is wrong with the flags before anything is started. plain
// says that unencrypted connections from elsewhere are wanted.
func (e *endpoint) check(plain bool, hint string) error {
	host, _, err := net.SplitHostPort(e.addr)
	switch {
	case err != nil:
		return usagef("--addr is HOST:PORT: %s", err)
	case (e.cert == "") != (e.key == ""):
		return usagef("--tls-cert and --tls-key come together")
	case e.cert == "" && !plain && !loopback(host):
		return usagef("%s is not a loopback address: %s", e.addr, hint)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (e *endpoint) listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", e.addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return ln, nil
}

// tls returns nil when the endpoint is to speak plain HTTP.
func (e *endpoint) tls() (*tls.Config, error) {
	if e.cert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(e.cert, e.key)
	if err != nil {
		return nil, fmt.Errorf("load the certificate: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}, nil
}

// base returns the URL of a listener, with the name that was asked for; a
// listener on all addresses is shown as localhost.
func (e *endpoint) base(scheme string, ln net.Listener) string {
	host, _, _ := net.SplitHostPort(e.addr) // checked
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return (&url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port)}).String()
}

// everywhere reports whether the endpoint listens on all addresses, so that it
// cannot know under which one it is reached.
func (e *endpoint) everywhere() bool {
	host, _, _ := net.SplitHostPort(e.addr)
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// quietly closes what is of no use any more.
func quietly(log *slog.Logger, what string, close func() error) {
	if err := close(); err != nil {
		log.Warn("could not close "+what, "err", err)
	}
}
