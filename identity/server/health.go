package server

import (
	"context"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strings"
	"time"
)

func isHealth(path string) bool { return path == "/health" || strings.HasPrefix(path, "/health/") }

func (s *Server) health(*http.Request) (any, error) {
	return map[string]string{"status": "healthy"}, nil
}

// live says that the process answers. It does not judge by load: a registry that
// is busy is not helped by being restarted.
func (s *Server) live(*http.Request) (any, error) {
	memory := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(memory)
	return map[string]any{
		"healthy": true, "timestamp": stamp(s.opts.Now()),
		"metrics": map[string]any{"memory_bytes": memory[0].Value.Uint64(), "goroutines": runtime.NumGoroutine()},
	}, nil
}

// ready asks the database; unlike the original it says 503 when it is not.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		s.fail(w, r, refuse(http.StatusMethodNotAllowed, "Method Not Allowed"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	start := time.Now()
	err := s.store.ping(ctx)
	state, status := "healthy", http.StatusOK
	if err != nil {
		state, status = "unhealthy", http.StatusServiceUnavailable
		s.log.Error("the store failed", "path", r.URL.Path, "err", err)
	}
	s.send(w, status, map[string]any{
		"status": state, "timestamp": stamp(s.opts.Now()), "version": "1.0.0",
		"components": map[string]any{"database": map[string]any{
			"status": state, "latency_ms": float64(time.Since(start).Microseconds()) / 1000,
		}},
	})
}
