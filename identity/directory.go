package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	recordTTL      = time.Minute     // how long a record is used
	missingTTL     = 5 * time.Second // how long it is believed that there is none, or that it has no endpoint
	recordInterval = time.Second     // after a failure the registry is asked no more often
	recordMaxAge   = time.Hour       // how long a record is used while the registry is down
)

// DirectoryOptions configure a Directory. Static or Client must be set.
type DirectoryOptions struct {
	// Static are records that the operator vouches for. They come first, and are
	// held to no policy.
	Static []Record
	// Client asks the identity registry for all others; nil means that there are none.
	Client *Client
	// Policy is for endpoints that come from the registry. If the registry
	// itself is on loopback, so may agents be.
	Policy EndpointPolicy

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default()
}

// Directory finds the endpoints of agents by their ids. It remembers what the
// identity registry answers, for a minute and up to 4096 agents, and asks for
// each agent only once at a time. While the registry is down it goes on with
// what it knows, for an hour. It is safe for concurrent use.
type Directory struct {
	static map[string]Record
	client *Client
	policy EndpointPolicy
	now    func() time.Time
	log    *slog.Logger

	mu    sync.Mutex // held while an entry is changed
	cache *cache[entry]
}

// entry is what the directory knows about one agent.
type entry struct {
	record  Record
	err     error     // instead of a record: there is none
	learned time.Time // when the registry was asked for it
	asked   time.Time // when the registry was asked last
	until   time.Time // the registry is not asked again before this
}

// NewDirectory checks the options and returns a directory; it starts nothing
// and does not use the network. The error is ErrInvalidRequest or
// ErrForbiddenEndpoint, for a static record without agent id or endpoint.
func NewDirectory(o DirectoryOptions) (*Directory, error) {
	d := &Directory{
		static: map[string]Record{}, client: o.Client, policy: o.Policy, now: o.Now, log: o.Logger, cache: newCache[entry](maxCached),
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.log == nil {
		d.log = slog.Default()
	}
	if o.Client != nil && isLoopbackHost(o.Client.base.Hostname()) {
		d.policy.AllowLoopback = true
	}
	for _, r := range o.Static {
		if _, twice := d.static[r.AgentID]; twice || !isUUIDv4(r.AgentID) {
			return nil, fail(ErrInvalidRequest, "new directory", "the static agent id %q is not a UUIDv4 in lower case, or there twice", r.AgentID)
		}
		if _, err := parseEndpoint(r.Endpoint); err != nil {
			return nil, err
		}
		r.Static = true
		d.static[r.AgentID] = r
	}
	return d, nil
}

// Policy returns the policy for endpoints that are not static. Resolve has
// checked the URL already; Control is for the dialler.
func (d *Directory) Policy() EndpointPolicy { return d.policy }

// Resolve returns the record of an agent. Its endpoint may be empty, if the
// agent has announced none. ErrNotFound means that there is no such agent or
// no mutual permission, ErrForbiddenEndpoint that the agent wants to be dialled
// where the policy does not allow it. Other errors are those of
// [Client.Resolve], when there is no answer and none to fall back on. It waits
// for the registry, as long as ctx and the client's timeout allow.
func (d *Directory) Resolve(ctx context.Context, agentID string) (Record, error) {
	if r, ok := d.static[agentID]; ok {
		return r, nil
	}
	if d.client == nil {
		return Record{}, fail(ErrNotFound, "resolve agent", "it is not configured")
	}
	e, fresh := d.fresh(agentID)
	if !fresh {
		var err error
		e, err = shared(ctx, d.client, fmt.Sprintf("directory %p %s", d, agentID), func(ctx context.Context) (entry, error) {
			if e, fresh := d.fresh(agentID); fresh {
				return e, nil // another caller was a moment earlier
			}
			return d.ask(ctx, agentID)
		})
		if err != nil {
			return Record{}, err
		}
	}
	if e.err != nil {
		return Record{}, e.err
	}
	if e.record.Endpoint != "" {
		if err := d.policy.Check(e.record.Endpoint); err != nil {
			return Record{}, err
		}
	}
	return e.record, nil
}

// fresh returns what is known about an agent, if that may be used without asking.
func (d *Directory) fresh(agentID string) (entry, bool) {
	e, known := d.cache.get(agentID)
	return e, known && d.now().Before(e.until)
}

// ask gets an entry from the registry, or makes do with the one that there is.
func (d *Directory) ask(ctx context.Context, agentID string) (entry, error) {
	start := d.now()
	record, err := d.client.Resolve(ctx, agentID)
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil || errors.Is(err, ErrNotFound) {
		e := entry{record: record, err: err, learned: start, asked: now, until: now.Add(recordTTL)}
		if record.Endpoint == "" {
			e.until = now.Add(missingTTL)
		}
		d.cache.put(agentID, e)
		return e, nil
	}
	old, known := d.cache.get(agentID)
	down := errors.Is(err, ErrUnavailable) || errors.Is(err, ErrRateLimited) || errors.Is(err, ErrBadResponse)
	if !known || old.err != nil || !down || now.Sub(old.learned) > recordMaxAge {
		return entry{}, err
	}
	d.log.Warn("agent not resolved anew, using what is known", "peer", agentID, "age", now.Sub(old.learned), "err", err)
	old.asked, old.until = now, now.Add(missingTTL)
	d.cache.put(agentID, old)
	return old, nil
}

// Failed says that the agent was not reached at the endpoint that Resolve
// returned. The next Resolve asks the registry anew, but not within a second of
// the last time that it was asked about this agent.
func (d *Directory) Failed(agentID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, _ := d.cache.get(agentID) // one that is not known is asked for anyway
	if again := e.asked.Add(recordInterval); again.Before(e.until) {
		e.until = again
		d.cache.put(agentID, e)
	}
}
