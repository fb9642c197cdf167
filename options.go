package pando

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/protocol/session"
	"github.com/pando-agents/pando/supervisor"
)

// Option changes how an agent, or one channel that it opens, behaves. Options
// given to Open count for that channel only; those that concern the whole agent
// have no effect there.
type Option func(*config)

// Limits bounds what one channel can hold. Zero fields mean the defaults.
type Limits = channel.Limits

// Backoff spaces the attempts of a dialler to come back after an outage.
type Backoff = session.Backoff

// FaultPoint names a place in the channel actor where WithFaults gets in.
type FaultPoint = channel.FaultPoint

// Budget is how many crashes one channel actor may have before its channel is
// given up.
type Budget = supervisor.Budget

// Timeouts are the clocks of an agent. Zero fields mean the defaults.
type Timeouts struct {
	// Handler is the deadline of a handler, and of a Request whose context has
	// none; default 30 s.
	Handler time.Duration
	// Connect bounds one attempt to connect, token included; default 15 s.
	Connect time.Duration
	// Open is how long an accepted connection may take to send channel.open;
	// default 10 s.
	Open time.Duration
	// Drain is how long Run waits for handlers and requests after its context
	// has ended; default 10 s.
	Drain time.Duration
	// Wait is how long an accepted channel waits for its peer to come back
	// after a broken connection; default 30 s. Peers that speak plain protocol
	// 1.0 cannot come back and are not waited for.
	Wait time.Duration
	// Ping is how long a connection may be silent before it is pinged, and
	// Pong how long the answer may take; default 20 s each.
	Ping, Pong time.Duration
	// Lost is how long a connection may be broken before what is watched at its
	// other end counts as lost; default 5 s.
	Lost time.Duration
	// Reconnect is how long an outage may last before a dialled channel is
	// given up; 0 means for ever.
	Reconnect time.Duration
}

// Admission bounds what strangers and peers can make an agent hold. Zero fields
// mean the defaults.
type Admission struct {
	// Channels bounds the channels in all (default 100,000); PerPeer those with
	// one peer (default 1,024).
	Channels, PerPeer int
	// Unopened bounds connections that have been accepted and have not sent
	// channel.open yet: in all (default 1,024).
	Unopened int
	// Verifying bounds handshakes under verification: in all (default 512), and
	// VerifyingPerAddress from one address (default 128).
	Verifying, VerifyingPerAddress int
}

// Network is how an agent reaches the world. Zero fields mean the real one.
type Network struct {
	// TLS is used for wss URLs.
	TLS *tls.Config
	// Dial makes network connections to peers.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// WrapConn gets each network connection, below TLS when dialling: the place
	// for faults.
	WrapConn func(net.Conn) net.Conn
	// Registry makes the requests to the identity registry.
	Registry *http.Client
}

// Clock is where an agent gets time and chance from. Nil fields mean the real
// ones.
type Clock struct {
	Now       func() time.Time
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
	Rand      func() float64
	NewID     func() string
}

type config struct {
	logger       *slog.Logger
	heartbeat    time.Duration
	inbox        int
	issuer       string
	publicURLs   []string
	origins      []string
	requireProof bool
	insecure     bool
	limits       Limits
	admission    Admission
	timeouts     Timeouts
	backoff      Backoff
	budget       Budget
	network      Network
	neighbours   *Neighbours
	endpoints    map[string]string
	policy       EndpointPolicy
	about        *Announcement
	clock        Clock
	fault        func(*Channel, FaultPoint)
}

func defaults() config {
	return config{heartbeat: 30 * time.Second, timeouts: Timeouts{
		Open: 10 * time.Second, Drain: 10 * time.Second, Lost: 5 * time.Second,
	}}
}

// WithLogger sets where the agent logs; default slog.Default().
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// WithHeartbeat sets the interval of channel.heartbeat messages on channels that
// are opened; default 30 s, 0 turns them off. WebSocket pings, which decide
// about life and death, go on.
func WithHeartbeat(d time.Duration) Option { return func(c *config) { c.heartbeat = d } }

// WithInbox gives an opened channel an inbox of n messages for Receive. Messages
// that no registered handler takes go there.
func WithInbox(n int) Option { return func(c *config) { c.inbox = n } }

// WithPublicURLs names the WebSocket URLs under which peers dial this agent. A
// proof of possession has to be made for one of them. Without any, only peers on
// loopback can prove themselves, as the Host header of a request from elsewhere
// can be forged by a relay.
func WithPublicURLs(urls ...string) Option { return func(c *config) { c.publicURLs = urls } }

// WithIssuer names the issuer (iss) of the identity registry's tokens; default
// "pando", which is that of a registry that was not told otherwise.
func WithIssuer(issuer string) Option { return func(c *config) { c.issuer = issuer } }

// WithOrigins lists the browser origins that may connect; by default none may.
func WithOrigins(origins ...string) Option { return func(c *config) { c.origins = origins } }

// WithRequireProof refuses peers whose token is not bound to a key that they
// prove to have. Unmodified Python agents cannot.
func WithRequireProof() Option { return func(c *config) { c.requireProof = true } }

// WithAllowInsecure lets Open dial ws URLs beyond loopback, and lets the
// identity registry be reached over http. Everybody on the way can then read
// and change what is said.
func WithAllowInsecure() Option { return func(c *config) { c.insecure = true } }

// WithLimits bounds what one channel can hold.
func WithLimits(l Limits) Option { return func(c *config) { c.limits = l } }

// WithAdmission bounds what strangers and peers can make the agent hold.
func WithAdmission(a Admission) Option { return func(c *config) { c.admission = a } }

// WithTimeouts sets the clocks of the agent.
func WithTimeouts(t Timeouts) Option {
	return func(c *config) {
		if t.Open <= 0 {
			t.Open = c.timeouts.Open
		}
		if t.Drain <= 0 {
			t.Drain = c.timeouts.Drain
		}
		if t.Lost <= 0 {
			t.Lost = c.timeouts.Lost
		}
		c.timeouts = t
	}
}

// WithBackoff spaces the attempts to come back after an outage.
func WithBackoff(b Backoff) Option { return func(c *config) { c.backoff = b } }

// WithBudget sets how many crashes one channel actor may have; default 3 within
// 5 s of each other.
func WithBudget(b Budget) Option { return func(c *config) { c.budget = b } }

// WithNetwork sets how the agent reaches peers and the identity registry.
func WithNetwork(n Network) Option { return func(c *config) { c.network = n } }

// WithClock sets where the agent gets time and chance from.
func WithClock(k Clock) Option { return func(c *config) { c.clock = k } }

// WithFaults calls f at the fault points of every channel actor, on the actor's
// own goroutine. It may panic or hang: that is what it is for.
func WithFaults(f func(ch *Channel, point FaultPoint)) Option {
	return func(c *config) { c.fault = f }
}
