// Package floor is the server that Pando is measured against: an acceptor of
// the Authed channel protocol 1.0 as a Go programmer would write it by hand in
// an afternoon, with gws as it comes and encoding/json, and nothing else. It
// verifies no token, has no deadlines, no limits and no supervision: what it
// costs is the least that those two libraries cost.
package floor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/lxzan/gws"
)

// ID is the agent id that the floor server writes as the sender.
const ID = "22222222-2222-4222-8222-222222222222"

// Handler returns the floor server as an HTTP handler that upgrades every
// request with a bearer token, whatever the token is, and answers 401 to all
// others. It starts one goroutine per connection.
func Handler() http.Handler {
	upgrader := gws.NewUpgrader(&acceptor{}, nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			http.Error(w, `{"error":"unauthorized"}`, http.StatusUnauthorized)
			return
		}
		socket, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		// On its own goroutine, so that net/http can free the request.
		go socket.ReadLoop()
	})
}

// Serve answers on ln until ctx is done, then closes ln. Upgraded connections
// are left alone: they end with the process, or when their peers close them.
func Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{Handler: Handler(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// acceptor has no state: protocol 1.0 lets an acceptor answer every message by
// what is in it, as the Python one does.
type acceptor struct {
	gws.BuiltinEventHandler
}

// OnMessage answers one message on the goroutine that read it.
func (a *acceptor) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	out, err := answer(message.Bytes(), time.Now())
	if err != nil {
		socket.WriteClose(1008, []byte("bad message"))
		return
	}
	if out != nil {
		_ = socket.WriteMessage(gws.OpcodeText, out)
	}
}
