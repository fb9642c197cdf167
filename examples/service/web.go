package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/pando-agents/pando/supervisor"
)

// grace is how long requests may take once the server is asked to stop. It is
// below the time in which the supervisor would abandon the server.
const grace = 3 * time.Second

// web is the HTTP server.
type web struct {
	*service
	ready chan struct{}
}

// Ready is closed when the server listens.
func (w *web) Ready() <-chan struct{} { return w.ready }

// Serve listens and answers until ctx is done; then requests that are under
// way are finished.
func (w *web) Serve(ctx context.Context) error {
	listener, err := net.Listen("tcp", w.addr)
	if err != nil {
		return err
	}
	w.addr = listener.Addr().String() // the next one listens there too
	server := &http.Server{Handler: w.routes(), ReadHeaderTimeout: grace}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	w.print.Printf("listening on http://%s", w.addr)
	close(w.ready)

	failed := false
	select {
	case err = <-served:
		failed = true
	case <-w.breakWeb:
		_ = listener.Close() // as if the system had done it
		err, failed = <-served, true
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	stopped := server.Shutdown(ending)
	if failed {
		return err
	}
	<-served
	return stopped
}

func (w *web) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /texts", w.countText)
	mux.HandleFunc("GET /total", func(rw http.ResponseWriter, r *http.Request) {
		words, err := w.add(r.Context(), 0)
		reply(rw, answer{words, err})
	})
	mux.HandleFunc("GET /tree", func(rw http.ResponseWriter, _ *http.Request) {
		snapshot := w.root.Snapshot()
		draw(rw, &snapshot)
	})
	mux.HandleFunc("POST /break/{part}", func(rw http.ResponseWriter, r *http.Request) {
		if err := w.breakPart(r.Context(), r.PathValue("part")); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
		}
	})
	return mux
}

// countText has a worker count the words of a text, and answers when that is
// done: what was accepted is finished before the workers are stopped.
func (w *web) countText(rw http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, 1<<20))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	j := job{text: string(text), answer: make(chan answer, 1)}
	if err := w.enqueue(r.Context(), j); err != nil {
		reply(rw, answer{err: err})
		return
	}
	reply(rw, <-j.answer)
}

func reply(rw http.ResponseWriter, a answer) {
	if a.err != nil {
		http.Error(rw, a.err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintf(rw, "%d words\n", a.total)
}

// draw writes one line for each child.
func draw(out io.Writer, s *supervisor.Snapshot) {
	for _, c := range s.Children {
		_, _ = fmt.Fprintf(out, "%s/%s#%d %s, %d restarts", s.Path, c.ID, c.Generation, c.State, c.Restarts)
		if c.Reason != nil {
			_, _ = fmt.Fprintf(out, ", last: %v", c.Reason)
		}
		_, _ = fmt.Fprintln(out)
		if c.Supervisor != nil {
			draw(out, c.Supervisor)
		}
	}
}
