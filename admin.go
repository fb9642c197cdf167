package pando

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/supervisor"
)

// Admin returns a handler that shows what the agent is doing, for pando inspect
// and for other tools. Nothing is shown unless it is mounted:
//
//	mux.Handle("/admin/", http.StripPrefix("/admin", agent.Admin(token)))
//
//	GET /tree    an Inspection as JSON; ?limit=N channels (default 50, at most
//	             10,000; 0 for none), ?stacks=1 with the stacks of panics
//	GET /events  what happens in the supervision tree from now on, one
//	             InspectedEvent a line (NDJSON), until the agent or the client
//	             leaves; an empty line now and then says that it is alive
//
// Who sends "Authorization: Bearer <token>" may look. If token is empty, programs
// on the same machine may: the request comes from a loopback address, asks for a
// loopback host, is not a web page's (Origin, Sec-Fetch-Site) and has not been
// forwarded. What X-Forwarded-For and its like say is never believed; that they
// are there is enough. A proxy on this machine that adds none of them cannot be
// told from a local program: behind one, set a token.
//
// The handler only reads. It serves four trees and sixteen streams at a time;
// whoever reads too slowly loses events, is told how many, and is cut off when
// nothing can be written for ten seconds.
func (a *Agent) Admin(token string) http.Handler {
	h := &admin{agent: a, trees: make(chan struct{}, maxTrees), streams: make(chan struct{}, maxStreams)}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		h.token = &sum
	}
	return h
}

const (
	maxTrees        = 4
	maxStreams      = 16
	adminEvents     = 256              // how many wait for a slow reader
	adminWrite      = 10 * time.Second // for the tree, or for one event
	adminAlive      = 15 * time.Second // between signs of life in a stream
	loopbackOnly    = "loopback_only"
	tokenRequired   = "admin_token_required"
	adminOverloaded = "overloaded"
)

type admin struct {
	agent          *Agent
	token          *[sha256.Size]byte // hashed, so that comparing tells nothing of its length
	trees, streams chan struct{}      // one element for each request under way
}

// ServeHTTP tells strangers nothing, not even which paths there are.
func (h *admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	if h.token == nil && !local(r) || h.token != nil && !h.authorized(r) {
		h.refuse(w)
		return
	}
	if r.Method != http.MethodGet {
		header.Set("Allow", http.MethodGet)
		refuse(w, http.StatusMethodNotAllowed, "method_not_allowed", "there is nothing to do but look: use GET", 0)
		return
	}
	switch r.URL.Path {
	case "/tree":
		h.limited(w, h.trees, func() { h.tree(w, r) })
	case "/events":
		h.limited(w, h.streams, func() { h.events(w, r) })
	default:
		refuse(w, http.StatusNotFound, "not_found", "there are /tree and /events", 0)
	}
}

func (h *admin) refuse(w http.ResponseWriter) {
	f := identity.Refusal{
		Status: http.StatusForbidden, Code: loopbackOnly,
		Message: "this agent has no admin token: it is shown to direct requests from its own machine only",
	}
	if h.token != nil {
		f.Status, f.Code, f.Authenticate = http.StatusUnauthorized, tokenRequired, `Bearer realm="pando admin"`
		f.Message = "the admin token is needed, as Authorization: Bearer"
	}
	f.WriteTo(w)
}

// authorized reports whether r has the token.
func (h *admin) authorized(r *http.Request) bool {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	sum := sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], h.token[:]) == 1
}

// local reports whether r comes from a program on this machine, directly. The
// Host is checked because a web page can have a name of its own resolve to
// 127.0.0.1 (DNS rebinding): its requests then come from here, as same-origin
// ones, but ask for that name.
func local(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if !loopback(strings.Trim(host, "[]")) {
		return false
	}
	for name := range r.Header {
		switch {
		case name == "Origin", name == "Forwarded", name == "Via", name == "X-Real-Ip", strings.HasPrefix(name, "X-Forwarded"):
			return false
		}
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "" || site == "none" || site == "same-origin"
}

// limited serves a request if there are not too many of its kind.
func (h *admin) limited(w http.ResponseWriter, under chan struct{}, serve func()) {
	select {
	case under <- struct{}{}:
		defer func() { <-under }()
		serve()
	default:
		refuse(w, http.StatusServiceUnavailable, adminOverloaded, "too many are looking", time.Second)
	}
}

func (h *admin) tree(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	o := InspectOptions{Stacks: query.Get("stacks") == "1"}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			refuse(w, http.StatusBadRequest, "invalid_limit", "limit is a number of channels", 0)
			return
		}
		o.Channels = n
		if n == 0 {
			o.Channels = -1
		}
	}
	in := h.agent.Inspect(o)
	w.Header().Set("Content-Type", "application/json")
	deadline(w)
	_ = json.NewEncoder(w).Encode(&in) // a reader that has gone needs no answer
}

// deadline bounds what is written next. Only recorders of tests cannot.
func deadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(adminWrite))
}

// events streams what happens. The subscription never waits for the reader.
func (h *admin) events(w http.ResponseWriter, r *http.Request) {
	events, cancel := h.agent.Events(adminEvents)
	defer cancel()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	alive := time.NewTicker(adminAlive)
	defer alive.Stop()
	send := func(write func() error) bool {
		deadline(w)
		return write() == nil && flush.Flush() == nil
	}
	nothing := func() error { _, err := w.Write([]byte("\n")); return err }
	for ok := send(nothing); ok; {
		var e supervisor.Event
		select {
		case e = <-events:
			ok = send(func() error { return out.Encode(inspectedEvent(&e)) })
		case <-alive.C:
			ok = send(nothing)
		case <-r.Context().Done():
			return
		case <-h.agent.done:
			return
		}
	}
}
