package pando

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/transport"
)

// Open returns an open channel to the agent target at the WebSocket URL: the one
// that is there already, or a new one. Callers that come at the same time share
// one attempt. An empty URL stands for the endpoint that is known of the agent:
// see Resolve. It waits until the channel is open or ctx ends, and for Run to
// have started.
//
// Refusals (no permission, bad secret, a peer that does not want us) come back
// at once as ErrRefused, an identity registry or a peer that cannot be reached
// as ErrUnreachable. Once open, the channel comes back by itself after broken
// connections, until it is closed.
func (a *Agent) Open(ctx context.Context, target, wsURL string, opts ...Option) (*Channel, error) {
	c := a.config
	for _, o := range opts {
		o(&c)
	}
	if wsURL != "" {
		if err := a.checkURL(wsURL); err != nil {
			return nil, err
		}
		return a.openAt(ctx, target, wsURL, false, &c)
	}
	wsURL, announced, err := a.endpoint(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("open channel to %s: %w", target, err)
	}
	ch, err := a.openAt(ctx, target, wsURL, announced, &c)
	if errors.Is(err, ErrUnreachable) {
		a.directory.Failed(target)
	}
	return ch, err
}

// openAt is Open; announced says that the URL is the peer's word.
func (a *Agent) openAt(ctx context.Context, target, wsURL string, announced bool, c *config) (*Channel, error) {
	select {
	case <-a.Ready():
	case <-a.done:
		return nil, ErrShuttingDown
	case <-ctx.Done():
		return nil, fmt.Errorf("open channel to %s: agent does not run: %w", target, context.Cause(ctx))
	}
	if a.draining.Load() {
		return nil, ErrShuttingDown
	}
	return a.registry.Open(ctx, channel.Config{
		ID: a.env.NewID(), Peer: target, URL: wsURL, Announced: announced, Heartbeat: c.heartbeat, Inbox: c.inbox,
	})
}

// checkURL refuses what cannot or should not be dialled.
func (a *Agent) checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "ws" && u.Scheme != "wss") {
		return &Error{Code: channel.CodeInvalid, Op: "open", Reason: "not a ws or wss URL: " + raw}
	}
	if u.Scheme == "ws" && !a.config.insecure && !loopback(u.Hostname()) {
		return &Error{Code: channel.CodeInvalid, Op: "open",
			Reason: "ws is not encrypted: use wss beyond loopback, or allow it (WithAllowInsecure)"}
	}
	return nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// connect makes one authenticated connection.
func (a *Agent) connect(ctx context.Context, peer, wsURL string, announced bool) (*transport.Conn, error) {
	o := a.transport
	if announced {
		o, wsURL = a.guarded(), a.moved(ctx, peer, wsURL)
	}
	for retry := false; ; retry = true {
		header, token, err := a.client.DialHeader(ctx, peer, wsURL)
		if err != nil {
			return nil, &channel.ConnectError{Final: refusedByRegistry(err), Err: err}
		}
		conn, err := transport.Dial(ctx, wsURL, header, o)
		if err == nil {
			return conn, nil
		}
		var refused *transport.HandshakeError
		if !errors.As(err, &refused) {
			if announced {
				a.directory.Failed(peer) // it may be elsewhere the next time
			}
			return nil, &channel.ConnectError{Err: err}
		}
		if refused.StatusCode == http.StatusUnauthorized {
			a.client.Drop(peer, token.Value)
			if !retry {
				continue // the token may have been old: a new one tells
			}
		}
		return nil, &channel.ConnectError{Final: final(refused.StatusCode), Err: err}
	}
}

// final reports whether a refusal will not change by waiting.
func final(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return status < http.StatusInternalServerError
}

func refusedByRegistry(err error) bool {
	return errors.Is(err, identity.ErrRefused) || errors.Is(err, identity.ErrInvalidRequest) ||
		errors.Is(err, identity.ErrInvalidCredentials) || errors.Is(err, identity.ErrNotFound)
}

// Lookup returns the channel with this id, or ErrNotFound.
func (a *Agent) Lookup(ctx context.Context, channelID string) (*Channel, error) {
	return a.registry.Lookup(ctx, channelID)
}

// ChannelsWith returns the channels with this peer, oldest first.
func (a *Agent) ChannelsWith(ctx context.Context, peer string) ([]*Channel, error) {
	return a.registry.With(ctx, peer)
}

// Channels returns all channels, oldest first.
func (a *Agent) Channels(ctx context.Context) ([]*Channel, error) { return a.registry.List(ctx) }

// CloseChannel closes the channel with this id, as its Close does. The error is
// ErrNotFound if there is none.
func (a *Agent) CloseChannel(ctx context.Context, channelID, reason string) error {
	return a.registry.Stop(ctx, channelID, reason)
}

// CloseAll closes every channel with this reason and waits for their ends or
// that of ctx.
func (a *Agent) CloseAll(ctx context.Context, reason string) error {
	return each(a.registry.All(), func(ch *Channel) error { return ch.Close(ctx, reason) })
}

// CrashRegistry makes the registry actor panic, as a bug in it would. For
// experiments and demonstrations.
func (a *Agent) CrashRegistry() error { return a.registry.Crash() }
