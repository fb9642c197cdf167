package session

import (
	"fmt"
	"time"
)

// Role says which side of the channel a session plays.
type Role uint8

const (
	// Dialler opens the channel, and opens it again when the connection breaks.
	Dialler Role = iota + 1
	// Acceptor is opened by the other side.
	Acceptor
)

// CapJSON and CapPando are capabilities named in channel.open and
// channel.accept. Every peer has CapJSON; CapPando is what tells a Pando peer
// from a 1.0 one.
const (
	CapJSON  = "json"
	CapPando = "pando.1"
)

// maxChannelID bounds the channel id that a stranger may choose, in bytes.
const maxChannelID = 128

// Config is the contract of one session. New checks it once.
type Config struct {
	// Role is required.
	Role Role
	// Self and Peer are the agent ids of both ends; required. Peer is the
	// verified subject (acceptor) or the target (dialler): a message that
	// names another sender ends the connection.
	Self, Peer string
	// ChannelID is required for a dialler (1 to 128 bytes). An acceptor takes
	// it from channel.open; if set, the open has to carry the same.
	ChannelID string
	// Capabilities are named to the peer; default CapJSON and CapPando. Leave
	// CapPando out to behave as a 1.0 peer.
	Capabilities []string

	// Heartbeat is the interval of a dialler's channel.heartbeat; 0 means none.
	Heartbeat time.Duration
	// PingInterval is how long a connection may be silent before a WebSocket
	// ping; default 20 s.
	PingInterval time.Duration
	// PongTimeout is how long it may stay silent after the ping before it is
	// dropped; default 20 s.
	PongTimeout time.Duration
	// OpenTimeout bounds the wait for channel.accept (dialler) or channel.open
	// (acceptor); default 10 s.
	OpenTimeout time.Duration
	// CloseTimeout bounds the wait for the acknowledgement of channel.close,
	// and then that for the end of the WebSocket close handshake; default 2 s.
	CloseTimeout time.Duration
	// CloseGrace is how long an acceptor that acknowledged channel.close
	// leaves it to the dialler to close the WebSocket; default 1 s.
	CloseGrace time.Duration

	// Backoff spaces the attempts of a dialler to come back.
	Backoff Backoff
	// MaxReconnect is how long one outage may last before the dialler gives
	// up; 0 means for ever.
	MaxReconnect time.Duration
	// RetryFirst makes a dialler also retry the very first connection, which
	// fails at once otherwise.
	RetryFirst bool
	// Wait is how long an acceptor keeps a channel whose connection broke for
	// a peer with CapPando to come back; 0 means not at all. 1.0 peers cannot
	// come back and are not waited for.
	Wait time.Duration

	// MaxPending bounds the requests that wait for a reply; default 1024.
	MaxPending int
	// NewID makes message ids; required.
	NewID func() string
	// Rand returns numbers in [0,1) for the jitter; required for a dialler.
	Rand func() float64
}

// Backoff is the spacing of redials: the first follows at once, the next
// after a random time up to Initial, then up to Initial×Factor, and so on up
// to Max. A connection that stayed open for 10 s (or Max, if that is less)
// starts the series anew.
type Backoff struct {
	// Initial defaults to 200 ms, Max to 30 s, Factor to 2.
	Initial, Max time.Duration
	Factor       float64
}

// quietPeriod is how long a connection has to stay open to count as healed.
const quietPeriod = 10 * time.Second

func (b Backoff) quiet() time.Duration { return min(b.Max, quietPeriod) }

func (c *Config) validate() error {
	invalid := func(format string, args ...any) error {
		return &Error{Code: CodeInvalidConfig, Reason: fmt.Sprintf(format, args...)}
	}
	dialler := c.Role == Dialler
	switch {
	case !dialler && c.Role != Acceptor:
		return invalid("role %d is neither dialler nor acceptor", c.Role)
	case c.Self == "" || c.Peer == "":
		return invalid("self and peer are required")
	case dialler && c.ChannelID == "":
		return invalid("a dialler needs a channel id")
	case len(c.ChannelID) > maxChannelID:
		return invalid("channel id of %d bytes is longer than %d", len(c.ChannelID), maxChannelID)
	case c.NewID == nil:
		return invalid("a source of message ids is required")
	case dialler && c.Rand == nil:
		return invalid("a dialler needs a source of randomness")
	case c.MaxPending < 0:
		return invalid("negative limit of pending requests")
	case c.Backoff.Factor != 0 && !(c.Backoff.Factor >= 1):
		return invalid("back-off factor %v is less than 1", c.Backoff.Factor)
	}
	for _, d := range [...]time.Duration{
		c.Heartbeat, c.PingInterval, c.PongTimeout, c.OpenTimeout, c.CloseTimeout, c.CloseGrace,
		c.Backoff.Initial, c.Backoff.Max, c.MaxReconnect, c.Wait,
	} {
		if d < 0 {
			return invalid("negative duration %v", d)
		}
	}
	c.fill()
	return nil
}

func (c *Config) fill() {
	orDefault(&c.PingInterval, 20*time.Second)
	orDefault(&c.PongTimeout, 20*time.Second)
	orDefault(&c.OpenTimeout, 10*time.Second)
	orDefault(&c.CloseTimeout, 2*time.Second)
	orDefault(&c.CloseGrace, time.Second)
	orDefault(&c.Backoff.Initial, 200*time.Millisecond)
	orDefault(&c.Backoff.Max, 30*time.Second)
	orDefault(&c.Backoff.Factor, 2)
	orDefault(&c.MaxPending, 1024)
	if c.Capabilities == nil {
		c.Capabilities = []string{CapJSON, CapPando}
	}
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
