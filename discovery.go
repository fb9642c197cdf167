package pando

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/supervisor"
	"github.com/pando-agents/pando/transport"
)

// EndpointPolicy says which endpoints may be dialled that other agents have
// announced.
type EndpointPolicy = identity.EndpointPolicy

// Announcement is what an agent says about itself to those that may talk to it.
type Announcement = identity.Announcement

// AgentRecord is what one agent may know about another.
type AgentRecord = identity.Record

// WithEndpoints says at which WebSocket URLs other agents are reached, by agent
// id. It is the operator's word: the identity registry is not asked for these
// agents, and no policy is applied.
func WithEndpoints(urls map[string]string) Option {
	return func(c *config) { c.endpoints = urls }
}

// WithEndpointPolicy says which endpoints may be dialled that the identity
// registry has of other agents; by default wss ones at public addresses, and
// those on loopback if the registry is there too. The policy is applied to the
// address that is dialled, unless Network.Dial is set: then to the URL alone.
func WithEndpointPolicy(p EndpointPolicy) Option {
	return func(c *config) { c.policy = p }
}

// WithAnnouncement has the agent tell the identity registry, each time that it
// starts to run, where it is reached and what it can do. A registry that does not
// answer is asked again and again.
func WithAnnouncement(about Announcement) Option {
	return func(c *config) { c.about = &about }
}

func (a *Agent) newDirectory() (err error) {
	c := &a.config
	o := identity.DirectoryOptions{Client: a.client, Policy: c.policy, Now: c.clock.Now, Logger: c.logger}
	o.Policy.AllowInsecure = o.Policy.AllowInsecure || c.insecure
	for id, url := range c.endpoints {
		if err := a.checkURL(url); err != nil {
			return err
		}
		o.Static = append(o.Static, AgentRecord{AgentID: id, Endpoint: url})
	}
	a.directory, err = identity.NewDirectory(o)
	return err
}

// Resolve returns what is known about another agent: from WithEndpoints, or from
// the identity registry, whose answer is kept for a minute.
func (a *Agent) Resolve(ctx context.Context, agentID string) (AgentRecord, error) {
	return a.directory.Resolve(ctx, agentID)
}

// endpoint returns where a peer is dialled, and whether the peer itself has said
// so.
func (a *Agent) endpoint(ctx context.Context, peer string) (url string, announced bool, err error) {
	if url := a.config.neighbours.url(peer); url != "" {
		return url, false, nil
	}
	r, err := a.directory.Resolve(ctx, peer)
	switch {
	case errors.Is(err, identity.ErrNotFound):
		return "", false, fmt.Errorf("%w: %w", ErrRefused, err) // no such agent, or no permission: nobody says which
	case err != nil:
		return "", false, fmt.Errorf("%w: %w", ErrUnreachable, err)
	case r.Endpoint == "":
		return "", false, fmt.Errorf("%w: agent %s has announced no endpoint", ErrUnreachable, peer)
	}
	return r.Endpoint, !r.Static, nil
}

// moved returns where a peer that has announced its endpoint is now.
func (a *Agent) moved(ctx context.Context, peer, wsURL string) string {
	if r, err := a.directory.Resolve(ctx, peer); err == nil && r.Endpoint != "" {
		return r.Endpoint
	}
	return wsURL
}

// guarded returns the options for dialling an announced endpoint: the address
// that its name turns out to be is held to the policy too.
func (a *Agent) guarded() *transport.Options {
	o := *a.transport
	if a.config.network.Dial == nil {
		d := &net.Dialer{Control: a.directory.Policy().Control}
		o.Dial = d.DialContext
	}
	return &o
}

// announceService tells the identity registry about the agent.
func (a *Agent) announceService() supervisor.Spec {
	return supervisor.Spec{ID: "announce", Restart: supervisor.Transient, Service: supervisor.ServiceFunc(func(ctx context.Context) error {
		for pause := time.Second; ; pause = min(2*pause, time.Minute) {
			_, err := a.client.Announce(ctx, *a.config.about)
			if err == nil {
				a.log.Info("announced to the identity registry")
			}
			if err == nil || ctx.Err() != nil {
				return nil
			}
			a.log.Warn("announcement failed", "err", err)
			if refusedByRegistry(err) {
				return nil
			}
			if !a.pause(ctx, pause) {
				return nil
			}
		}
	})}
}

// pause reports false when ctx ended.
func (a *Agent) pause(ctx context.Context, d time.Duration) bool {
	over := make(chan struct{})
	defer a.env.AfterFunc(d, func() { close(over) })()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}
