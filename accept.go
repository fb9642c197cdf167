package pando

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/registry"
	"github.com/pando-agents/pando/transport"
)

// ServeHTTP is the agent's WebSocket endpoint. Who connects is verified before
// the upgrade: refusals are HTTP answers, which every client sees at once.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		refuse(w, http.StatusUpgradeRequired, "upgrade_required", "this is a WebSocket endpoint", 0)
		return
	}
	if !a.accepting() {
		refuse(w, http.StatusServiceUnavailable, "not_running", "the agent takes no channels now", 5*time.Second)
		return
	}
	peer, refusal := a.verifier.Verify(r)
	if refusal != nil {
		refusal.WriteTo(w) // counted and logged by the verifier
		return
	}
	if a.registry.Full(peer.AgentID) {
		a.refused(r, peer.AgentID, "too_many_channels", nil)
		refuse(w, http.StatusServiceUnavailable, "too_many_channels", "no more channels", 30*time.Second)
		return
	}
	if a.unopened.Add(1) > int64(a.maxUnopened()) {
		a.unopened.Add(-1)
		a.refused(r, peer.AgentID, "too_many_unopened", nil)
		refuse(w, http.StatusServiceUnavailable, "overloaded", "too many connections are being opened", time.Second)
		return
	}
	conn, err := transport.Accept(w, r, a.transport)
	if err != nil {
		a.unopened.Add(-1)
		a.refused(r, peer.AgentID, "upgrade_failed", err)
		return
	}
	a.await(conn, peer)
}

// accepting reports whether new channels are wanted.
func (a *Agent) accepting() bool {
	select {
	case <-a.Ready():
	default:
		return false
	}
	select {
	case <-a.done:
		return false
	default:
		return !a.draining.Load()
	}
}

func (a *Agent) maxUnopened() int {
	if n := a.config.admission.Unopened; n > 0 {
		return n
	}
	return 1024
}

// refusals counts handshakes that were refused after their verification.
type refusals struct {
	mu     sync.Mutex
	byCode map[string]uint64
}

func (r *refusals) count(code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byCode == nil {
		r.byCode = make(map[string]uint64)
	}
	r.byCode[code]++
}

// Handshakes returns how many handshakes have been verified ("accepted"), and how
// many refused, before or after that, by the code that the refusal carried.
func (a *Agent) Handshakes() map[string]uint64 {
	all := a.verifier.Stats()
	a.refusals.mu.Lock()
	defer a.refusals.mu.Unlock()
	for code, n := range a.refusals.byCode {
		all[code] += n
	}
	return all
}

// refused counts and logs a refusal, never with the token or the proof.
func (a *Agent) refused(r *http.Request, peer, code string, err error) {
	a.refusals.count(code)
	a.log.Warn("connection refused", "peer", peer, "reason", code, "address", r.RemoteAddr, "err", err)
}

// refuse answers an upgrade request with an error that a program can read.
func refuse(w http.ResponseWriter, status int, code, message string, retryAfter time.Duration) {
	(&identity.Refusal{Status: status, Code: code, Message: message, RetryAfter: retryAfter}).WriteTo(w)
}

// verifierOptions is what the acceptor checks.
func (a *Agent) verifierOptions() identity.VerifierOptions {
	c := &a.config
	return identity.VerifierOptions{
		Client: a.client, Issuer: c.issuer, PublicURLs: c.publicURLs, AllowedOrigins: c.origins, RequireProof: c.requireProof,
		MaxPending: c.admission.Verifying, MaxPendingPerAddr: c.admission.VerifyingPerAddress,
		Now: c.clock.Now, Logger: c.logger,
	}
}

// opening is an accepted connection on which channel.open has not come yet. It
// costs no actor: strangers can have many of them.
type opening struct {
	agent  *Agent
	conn   *transport.Conn
	peer   string
	stop   func() bool
	failed *failure // it is being closed: what still comes is not looked at
}

// failure is why a connection is not opened, with the channel it was to be.
type failure struct {
	channel string
	err     error
}

// await starts to read, with a limit on the time until channel.open.
func (a *Agent) await(conn *transport.Conn, peer identity.Peer) {
	o := &opening{agent: a, conn: conn, peer: peer.AgentID}
	o.stop = a.env.AfterFunc(a.config.timeouts.Open, func() {
		conn.Close(transport.CodePolicy, "no channel.open in time")
	})
	conn.Start(o)
}

// closeTryLater is the WebSocket close code 1013 of the IANA registry.
const closeTryLater = 1013

// openTimeout bounds what the registry may take to find or spawn a channel.
const openTimeout = 5 * time.Second

// HandleText takes channel.open; what comes then is for the channel.
func (o *opening) HandleText(p []byte) {
	if o.failed != nil {
		return
	}
	m, err := protocol.Decode(p, protocol.Limits{MaxBytes: o.agent.env.Limits.MaxMessage})
	switch {
	case err != nil:
		o.fail(transport.CodePolicy, "invalid message before channel.open", failure{err: err})
	case m.Type != protocol.TypeOpen:
		o.fail(transport.CodePolicy, "message before channel.open", failure{})
	case m.Sender != "" && m.Sender != o.peer:
		o.fail(transport.CodePolicy, "sender is not the verified peer", failure{channel: m.ChannelID})
	case m.ChannelID == "":
		o.fail(transport.CodePolicy, "channel.open without channel_id", failure{})
	default:
		o.open(m)
	}
}

func (o *opening) open(m protocol.Envelope) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	err := o.agent.registry.Accept(ctx, o.peer, o.conn, m)
	switch {
	case errors.Is(err, registry.ErrInUse):
		o.fail(transport.CodePolicy, "channel id is in use", failure{m.ChannelID, err})
	case err != nil:
		o.fail(closeTryLater, "no more channels", failure{m.ChannelID, err})
	default:
		o.opened()
		o.agent.settler.opened()
	}
}

// fail ends a connection that never became a channel.
func (o *opening) fail(code int, reason string, f failure) {
	o.failed = &f
	o.conn.Close(code, reason)
}

// opened gives the place among the unopened connections back, once.
func (o *opening) opened() {
	if o.stop != nil {
		o.stop()
		o.stop = nil
		o.agent.unopened.Add(-1)
	}
}

// HandlePong and HandleWritable have no meaning yet.
func (o *opening) HandlePong()     {}
func (o *opening) HandleWritable() {}

func (o *opening) HandleClose(e *transport.CloseError) {
	o.opened()
	f := failure{err: e.Err}
	if o.failed != nil {
		f = *o.failed
	}
	o.agent.log.Warn("connection closed before it was open", "peer", o.peer, "channel", f.channel,
		"address", o.conn.RemoteAddr().String(), "code", e.Code, "reason", e.Reason, "err", f.err)
}

// Healthz answers 200 {"status":"healthy"} while the agent takes channels, and
// 503 otherwise.
func (a *Agent) Healthz(w http.ResponseWriter, _ *http.Request) {
	status, text := http.StatusOK, "healthy"
	if !a.accepting() {
		status, text = http.StatusServiceUnavailable, "unavailable"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": text, "agent_id": a.id, "channels": len(a.registry.All())})
}
