package transport

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"
)

// Defaults of [Options].
const (
	DefaultMaxMessage       = 1 << 20
	DefaultMaxOutbound      = 4 << 20
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultMessageTimeout   = 30 * time.Second
	DefaultWriteTimeout     = 10 * time.Second
	DefaultCloseTimeout     = 2 * time.Second
)

// Options are shared by [Dial] and [Accept]. A nil pointer, and zero or negative
// values, mean the defaults. The connections keep the pointer: options must not
// be changed once they are in use.
type Options struct {
	// MaxMessage is the largest message accepted from the peer, in bytes, all
	// fragments together; more ends the connection with 1009. Default 1 MiB.
	//
	// The memory for a frame is allocated when its header has been read, so a
	// peer can make a connection hold up to twice MaxMessage, for at most
	// MessageTimeout.
	MaxMessage int

	// HandshakeTimeout limits a whole Dial, and the writing of the answer in
	// Accept. Default 10 s.
	HandshakeTimeout time.Duration

	// MessageTimeout is how long a message whose first byte has been read may
	// take to become complete; then the connection is cut. Default 30 s.
	MessageTimeout time.Duration

	// WriteTimeout is how long a write may make no progress before the
	// connection is cut; it also limits the flush at the beginning of Close.
	// Default 10 s.
	WriteTimeout time.Duration

	// CloseTimeout is how long to wait for the peer's close frame once ours is
	// written. Default 2 s.
	CloseTimeout time.Duration

	// MaxOutbound limits the bytes waiting to be written. Default 4 MiB. The
	// control lane has 64 KiB of its own.
	MaxOutbound int

	// TLS is used by Dial for wss URLs. The server name is filled in when empty.
	TLS *tls.Config

	// Dial opens the network connection in the function Dial. The default is a
	// [net.Dialer].
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// WrapConn, if not nil, gets each new network connection and returns the one
	// to use. In Dial it is below TLS. In Accept it gets what net/http had,
	// which on a TLS server is the connection above TLS.
	WrapConn func(net.Conn) net.Conn

	// Logger gets panics of handlers. Default [slog.Default].
	Logger *slog.Logger

	// Now is the clock for counting pings. Default [time.Now].
	Now func() time.Time

	// AfterFunc starts all timers of an open connection. Default [time.AfterFunc].
	// The opening handshake uses deadlines of the network connection instead.
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
}

func orDefault[T int | time.Duration](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

func (o *Options) maxMessage() int  { return orDefault(o.MaxMessage, DefaultMaxMessage) }
func (o *Options) maxOutbound() int { return orDefault(o.MaxOutbound, DefaultMaxOutbound) }

func (o *Options) handshakeTimeout() time.Duration {
	return orDefault(o.HandshakeTimeout, DefaultHandshakeTimeout)
}

func (o *Options) messageTimeout() time.Duration {
	return orDefault(o.MessageTimeout, DefaultMessageTimeout)
}

func (o *Options) writeTimeout() time.Duration {
	return orDefault(o.WriteTimeout, DefaultWriteTimeout)
}

func (o *Options) closeTimeout() time.Duration {
	return orDefault(o.CloseTimeout, DefaultCloseTimeout)
}

func (o *Options) logger() *slog.Logger {
	if o.Logger != nil {
		return o.Logger
	}
	return slog.Default()
}

func (o *Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

func (o *Options) afterFunc(d time.Duration, f func()) (stop func() bool) {
	if o.AfterFunc != nil {
		return o.AfterFunc(d, f)
	}
	return time.AfterFunc(d, f).Stop
}

// dialNet opens a network connection and lets WrapConn have it.
func (o *Options) dialNet(ctx context.Context, addr string) (net.Conn, error) {
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	nc, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return o.wrap(nc), nil
}

func (o *Options) wrap(nc net.Conn) net.Conn {
	if o.WrapConn == nil {
		return nc
	}
	return o.WrapConn(nc)
}
