package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// shutdownGrace is how long running requests may take after Serve was told to stop.
const shutdownGrace = 10 * time.Second

// Serve answers requests on ln until ctx ends; it then closes ln, lets running
// requests finish for up to 10 seconds and returns nil. With a nil tlsConf it speaks
// plain HTTP, which is for a loopback address or a proxy that speaks TLS. It does
// not close the store. The error is an [*Error].
func (s *Server) Serve(ctx context.Context, ln net.Listener, tlsConf *tls.Config) error {
	hs := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 5 * time.Second, // also bounds the TLS handshake
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		// What it reports is strangers' broken handshakes.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	ln = &boundedListener{Listener: ln, free: make(chan struct{}, s.opts.Limits.Connections), closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() {
		if tlsConf == nil {
			served <- hs.Serve(ln)
			return
		}
		hs.TLSConfig = tlsConf.Clone()
		served <- hs.ServeTLS(ln, "", "")
	}()
	s.log.Info("identity registry listens", "address", ln.Addr().String(), "tls", tlsConf != nil)
	select {
	case err := <-served:
		_ = hs.Close()
		return failed(ErrServe, "serve", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	err := hs.Shutdown(grace)
	if err != nil {
		err = errors.Join(err, hs.Close())
	}
	<-served
	if err != nil {
		return failed(ErrServe, "shut down", err)
	}
	return nil
}

// boundedListener leaves connections in the system's queue while as many as
// allowed are open.
type boundedListener struct {
	net.Listener
	free   chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &boundedConn{Conn: c, release: sync.OnceFunc(func() { <-l.free })}, nil
}

func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
