package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pando-agents/pando"
)

// httpGrace is how long answers to plain HTTP requests may take at the end.
const httpGrace = 3 * time.Second

// listening is an HTTP server and where it listens.
type listening struct {
	http *http.Server
	ln   net.Listener
}

// newServer returns a server for strangers, without TLS if conf is nil.
func newServer(h http.Handler, conf *tls.Config, log *slog.Logger) *http.Server {
	srv := &http.Server{
		Handler: h, TLSConfig: conf, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // strangers' broken handshakes
	}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true) // WebSockets upgrade HTTP/1.1
	return srv
}

// serve answers until the server is shut down.
func (s *listening) serve() error {
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(s.ln, "", "")
	} else {
		err = s.http.Serve(s.ln)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve: %w", err)
}

// serve runs an agent and the servers that it is mounted in, until ctx ends and
// the agent has drained. While it drains, its health can still be asked.
func serve(ctx context.Context, agent *pando.Agent, ready func() error, servers ...listening) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(servers))
	var served sync.WaitGroup
	for i := range servers {
		served.Go(func() {
			defer cancel() // an agent that nobody can reach is of no use
			errs[i] = servers[i].serve()
		})
	}
	said := make(chan error, 1)
	go func() {
		select {
		case <-agent.Ready():
			said <- ready()
		case <-ctx.Done():
			said <- nil
		}
	}()
	err := agent.Run(ctx)
	cancel()
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), httpGrace)
	defer done()
	for i := range servers {
		err = errors.Join(err, servers[i].http.Shutdown(grace))
	}
	served.Wait()
	return errors.Join(err, <-said, errors.Join(errs...))
}
