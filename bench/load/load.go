// Package load is a load generator for servers that speak the Authed channel
// protocol 1.0. It costs little processor time itself: requests are copied
// from templates and replies are searched, not decoded. It has three modes:
// Steady keeps requests under way on open channels, Open opens and closes
// channels, Idle holds channels open with a heartbeat.
//
// It runs in a process of its own and reads the server's processor time and
// memory from /proc at the edges of the measured window.
package load

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Target is the server under load.
type Target struct {
	// URL is a ws:// address.
	URL string
	// Tokens are the bearer tokens of the channels, used in turn; none means
	// one that is no token at all, for servers that verify nothing. When they
	// are JWTs, their subjects are the senders of the messages.
	Tokens []string
	// Header, if set, makes the headers of each handshake instead: a bearer
	// token, and a proof if the token is bound. It may be called concurrently.
	Header func(context.Context) (http.Header, error)
	// PID is the server's process; 0 means that its use is not measured.
	PID int
	// Control is the base URL at which a server of this program can be told to
	// settle its memory; empty when it cannot.
	Control string
}

// ReadTokens reads a file with one token per line. The empty path gives none.
func ReadTokens(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	tokens := strings.Fields(string(b))
	if len(tokens) == 0 {
		return nil, fmt.Errorf("reading tokens: %s holds none", path)
	}
	return tokens, nil
}

// The ids that are used when a token does not say otherwise.
const (
	defaultSender    = "11111111-1111-4111-8111-111111111111"
	defaultRecipient = "22222222-2222-4222-8222-222222222222"
	noToken          = "none"
)

// caller is what one channel presents at its handshake and in its messages.
type caller struct {
	header            http.Header
	sender, recipient string
}

// caller returns who opens the channel with this number.
func (t Target) caller(ctx context.Context, number int) (caller, error) {
	switch {
	case t.Header != nil:
		header, err := t.Header(ctx)
		if err != nil {
			return caller{}, fmt.Errorf("preparing a handshake: %w", err)
		}
		return newCaller(header), nil
	case len(t.Tokens) > 0:
		return newCaller(bearer(t.Tokens[number%len(t.Tokens)])), nil
	default:
		return newCaller(bearer(noToken)), nil
	}
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}}
}

// newCaller reads the ids from the token's claims without verifying them:
// that is the server's business.
func newCaller(header http.Header) caller {
	c := caller{header, defaultSender, defaultRecipient}
	parts := strings.Split(strings.TrimPrefix(header.Get("Authorization"), "Bearer "), ".")
	if len(parts) != 3 {
		return c
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return c
	}
	var ids struct {
		Subject string `json:"sub"`
		Target  string `json:"target"`
	}
	if json.Unmarshal(claims, &ids) != nil || ids.Subject == "" {
		return c
	}
	return caller{header, ids.Subject, ids.Target}
}

func (t Target) address() (*url.URL, error) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the target: %w", err)
	}
	if u.Scheme != "ws" || u.Port() == "" {
		return nil, fmt.Errorf("reading the target: %q is not ws://host:port/path", t.URL)
	}
	return u, nil
}

// openers is how many channels are opened at the same time.
const openers = 32

// openAll opens n channels or none.
func openAll(ctx context.Context, t Target, n int, text string, buffer int) ([]*channel, error) {
	address, err := t.address()
	if err != nil {
		return nil, err
	}
	all := make([]*channel, n)
	errs := make([]error, openers)
	var wg sync.WaitGroup
	for worker := range openers {
		wg.Go(func() {
			for i := worker; i < n && errs[worker] == nil; i += openers {
				all[i], errs[worker] = t.open(ctx, address, i, text, buffer)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		// One is enough: a server that is down fails them all alike.
		if err != nil {
			closeAll(all)
			return nil, fmt.Errorf("opening %d channels: %w", n, err)
		}
	}
	return all, nil
}

// open opens the channel with this number.
func (t Target) open(ctx context.Context, address *url.URL, number int, text string, buffer int) (*channel, error) {
	who, err := t.caller(ctx, number)
	if err != nil {
		return nil, err
	}
	return open(ctx, address, who, text, buffer)
}

// closeAll ends the channels that are open with a closing handshake.
func closeAll(all []*channel) {
	deadline := time.Now().Add(closeTimeout)
	var wg sync.WaitGroup
	for worker := range openers {
		wg.Go(func() {
			for i := worker; i < len(all); i += openers {
				if all[i] != nil {
					_ = all[i].close(deadline)
				}
			}
		})
	}
	wg.Wait()
}
