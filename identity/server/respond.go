package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// timeFormat is read by every Python version that the SDK runs on.
const timeFormat = "2006-01-02T15:04:05.000000-07:00"

func stamp(t time.Time) string { return t.UTC().Format(timeFormat) }

// refusal is an answer other than 200.
type refusal struct {
	status int
	detail any // a text, or a list of problems
	retry  time.Duration
	cause  error // for the log only
}

func (r *refusal) Error() string {
	if r.cause != nil {
		return fmt.Sprintf("%d: %v", r.status, r.cause)
	}
	return fmt.Sprintf("%d: %v", r.status, r.detail)
}

func (r *refusal) Unwrap() error { return r.cause }

func refuse(status int, detail string) error { return &refusal{status: status, detail: detail} }

// refuseFor is refuse with the reason, which goes to the log and not to the client.
func refuseFor(cause error, status int, detail string) error {
	return &refusal{status: status, detail: detail, cause: cause}
}

// answer is one operation of the API: a value to be sent as JSON with 200, or an error.
type answer func(*http.Request) (any, error)

// methods is what one path can do.
type methods map[string]answer

func (s *Server) respond(m methods) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := m[r.Method]
		if !ok {
			for method := range m {
				w.Header().Add("Allow", method)
			}
			s.fail(w, r, refuse(http.StatusMethodNotAllowed, "Method Not Allowed"))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		v, err := f(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.send(w, http.StatusOK, v)
	})
}

func (s *Server) send(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.log.Error("cannot encode an answer", "err", err)
		status, body = http.StatusInternalServerError, []byte(`{"detail":"Internal Server Error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}

// fail answers with an error. Whatever is not a refusal is a fault of ours: it
// is logged, and the client learns no more than that.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var ref *refusal
	if !errors.As(err, &ref) {
		if r.Context().Err() != nil {
			ref = &refusal{status: http.StatusServiceUnavailable, detail: "the request was given up"}
		} else if temporary(err) {
			ref = &refusal{status: http.StatusServiceUnavailable, detail: "the store is not available, try again", retry: time.Second}
			s.log.Error("the store failed", "path", r.URL.Path, "err", err)
		} else {
			ref = &refusal{status: http.StatusInternalServerError, detail: "Internal Server Error"}
			s.log.Error("a request failed", "path", r.URL.Path, "err", err)
		}
	} else {
		s.log.Debug("request refused", "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr, "err", ref)
	}
	if ref.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(ref.retry.Seconds()))))
	}
	s.send(w, ref.status, map[string]any{"detail": ref.detail})
}

// guard wraps the whole API: security headers, the limit per address, and
// panics turned into answers.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r)
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-XSS-Protection", "1; mode=block")
		h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
		if !isHealth(r.URL.Path) {
			if wait := s.perAddress.take(addressOf(r.RemoteAddr)); wait > 0 {
				s.fail(w, r, tooMany(wait))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) recovered(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	s.log.Error("panic in a request", "path", r.URL.Path, "err", p, slog.String("stack", string(debug.Stack())))
	// If the header is already out this does nothing but cut the answer short.
	s.send(w, http.StatusInternalServerError, map[string]any{"detail": "Internal Server Error"})
}

func tooMany(wait time.Duration) error {
	return &refusal{status: http.StatusTooManyRequests, detail: "Too many requests", retry: wait}
}
