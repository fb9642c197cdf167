package identity

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	defaultTimeout   = 8 * time.Second // a Python peer gives a handshake 10 s
	defaultVerifyTTL = time.Minute
	maxCached        = 4096
)

// ClientOptions configure a Client. Only Credentials must be set.
type ClientOptions struct {
	Credentials Credentials
	// HTTP makes the requests if it is set; Credentials.CAFile is then not
	// read. It is copied, and redirects are never followed. The default keeps
	// a pool of connections, knows HTTPS_PROXY and trusts the system's
	// authorities and CAFile.
	HTTP *http.Client
	// AllowInsecure keeps an http registry URL as it is written. Without it
	// http is only kept for loopback, and becomes https elsewhere.
	AllowInsecure bool
	// Timeout is for one operation with its retries, default 8 s.
	Timeout time.Duration
	// VerifyTTL is how long an answer of Verify may be used again: 60 s by
	// default and at most, negative for never. A permission that was taken
	// away goes unnoticed for so long.
	VerifyTTL time.Duration

	Now       func() time.Time                                   // default time.Now
	AfterFunc func(d time.Duration, f func()) (stop func() bool) // default time.AfterFunc
	Rand      func() float64                                     // jitter, in [0, 1), default math/rand
	Random    io.Reader                                          // ids and nonces, default crypto/rand
	Logger    *slog.Logger                                       // default slog.Default()
}

// Client talks to an identity registry, Pando's or an original one. It keeps
// interaction tokens, verifications and the registry's keys for as long as
// they may be used, and asks for each only once at a time. It is safe for
// concurrent use.
//
// Requests that may be sent twice are repeated after network errors, 502, 503
// and 504, all are after 429 and when no connection was made, up to three times
// in all and with back-off. Methods fail with an *Error, or with the context's
// error as its cause.
type Client struct {
	o       ClientOptions
	base    *url.URL
	http    *http.Client
	owned   *http.Transport // nil if the caller brought the http.Client
	ctx     context.Context // of what callers share
	cancel  context.CancelFunc
	flights singleflight.Group

	tokens   *cache[Token]
	verified *cache[Verified]
	keys     keySet
}

// NewClient checks the options and returns a client. It reads CAFile, but does
// not use the network. The error is ErrInvalidCredentials.
func NewClient(o ClientOptions) (*Client, error) {
	if err := o.Credentials.Validate(); err != nil {
		return nil, err
	}
	setDefaults(&o)
	base, err := url.Parse(o.Credentials.RegistryURL)
	if err != nil {
		return nil, fail(ErrInvalidCredentials, "new client", "%w", err)
	}
	if !o.AllowInsecure && !isLoopbackHost(base.Hostname()) {
		base.Scheme = "https"
	}
	c := &Client{o: o, base: base, tokens: newCache[Token](maxCached), verified: newCache[Verified](maxCached)}
	if o.HTTP != nil {
		given := *o.HTTP
		c.http = &given
	} else {
		if c.owned, err = newTransport(o.Credentials.CAFile); err != nil {
			return nil, err
		}
		c.http = &http.Client{Transport: c.owned}
	}
	// A redirect would carry the secrets to wherever it points.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

func setDefaults(o *ClientOptions) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.VerifyTTL == 0 || o.VerifyTTL > defaultVerifyTTL {
		o.VerifyTTL = defaultVerifyTTL
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AfterFunc == nil {
		o.AfterFunc = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	if o.Rand == nil {
		o.Rand = mathrand.Float64
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

func newTransport(caFile string) (*http.Transport, error) {
	const op = "new client"
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fail(ErrInvalidCredentials, op, "read authorities: %w", err)
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fail(ErrInvalidCredentials, op, "no certificate in %s", caFile)
		}
		config.RootCAs = pool
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    5 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    16,
		MaxConnsPerHost:        64,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}, nil
}

// Close gives up what is under way and closes idle connections. Methods that
// share a request fail afterwards.
func (c *Client) Close() {
	c.cancel()
	if c.owned != nil {
		c.owned.CloseIdleConnections()
	}
}

// AgentID returns the id of the agent that the client speaks for, empty if its credentials have none.
func (c *Client) AgentID() string { return c.o.Credentials.AgentID }

func (c *Client) needAgent(op string) error {
	if !c.o.Credentials.hasAgent() {
		return fail(ErrInvalidCredentials, op, "no agent id, secret and key given")
	}
	return nil
}

// shared runs f once for all callers that come with the same key while it is
// running. f gets the client's context: it goes on when a caller leaves, and
// the others get its result.
func shared[T any](ctx context.Context, c *Client, key string, f func(context.Context) (T, error)) (T, error) {
	results := c.flights.DoChan(key, func() (v any, err error) {
		defer func() {
			// A bug in a caller's transport or logger must not end the process.
			if p := recover(); p != nil {
				err = fail(ErrUnavailable, "ask identity registry", "panic: %v", p)
			}
		}()
		ctx, stop := c.withTimeout(c.ctx, c.o.Timeout)
		defer stop()
		return f(ctx)
	})
	var none T
	select {
	case <-ctx.Done():
		return none, fail(ErrUnavailable, "ask identity registry", "%w", context.Cause(ctx))
	case r := <-results:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(T), nil
	}
}

// withTimeout is context.WithTimeout with the client's own timers.
func (c *Client) withTimeout(ctx context.Context, d time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := c.o.AfterFunc(d, func() { cancel(fmt.Errorf("no answer within %v: %w", d, context.DeadlineExceeded)) })
	return ctx, func() { stop(); cancel(nil) }
}

func isLoopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
