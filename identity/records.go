package identity

import (
	"context"
	"net/http"
	"net/url"
)

// Record is what one agent may know about another in order to talk to it.
type Record struct {
	AgentID string `json:"agent_id"`
	Name    string `json:"name"`
	// Endpoint is the WebSocket URL that peers dial, empty if the agent has
	// announced none. A registry passes on what the agent says: see EndpointPolicy.
	Endpoint     string   `json:"endpoint"`
	Description  string   `json:"description"`
	Capabilities []string `json:"capabilities"`
	// Static says that the record is the operator's own and not the registry's.
	Static bool `json:"-"`
}

// Announcement is what an agent says about itself to those that may talk to it.
// Nil fields are left as they are, empty ones remove what was there.
type Announcement struct {
	Endpoint     *string  `json:"endpoint,omitzero"`     // ws or wss URL, up to 2048 bytes of ASCII, without user information and fragment
	Description  *string  `json:"description,omitzero"`  // up to 1024 bytes of printable text
	Capabilities []string `json:"capabilities,omitzero"` // up to 32 different ones of 1 to 64 printable bytes without blanks
}

// Resolve asks the identity registry for the record of an agent: this one, or
// one that it may talk to, by the rule for tokens. ErrNotFound means that there
// is no such agent or no mutual permission, the registry does not say which; an
// original registry answers so always. It asks every time: [Directory] remembers.
func (c *Client) Resolve(ctx context.Context, agentID string) (Record, error) {
	const op = "resolve agent"
	if err := c.needAgent(op); err != nil {
		return Record{}, err
	}
	if !isUUIDv4(agentID) {
		return Record{}, fail(ErrInvalidRequest, op, "the agent id is not a UUIDv4 in lower case")
	}
	var r Record
	err := c.asAgent(ctx, request{
		op: op, method: http.MethodGet, path: "/directory/" + agentID, repeatable: true,
	}, nil, &r)
	if err == nil && r.AgentID != agentID {
		err = fail(ErrBadResponse, op, "the answer is not about the agent")
	}
	if err != nil {
		return Record{}, err
	}
	return r, nil
}

// Peers returns the records of all other agents that this one may talk to, by
// their ids. An original registry answers ErrNotFound.
func (c *Client) Peers(ctx context.Context) ([]Record, error) {
	const op = "list peers"
	if err := c.needAgent(op); err != nil {
		return nil, err
	}
	all, after := []Record{}, ""
	for {
		var page struct {
			Agents []Record `json:"agents"`
			Next   string   `json:"next"`
		}
		r := request{op: op, method: http.MethodGet, path: "/directory", repeatable: true}
		if after != "" {
			r.query = url.Values{"after": {after}}
		}
		if err := c.asAgent(ctx, r, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Agents...)
		if page.Next == "" {
			return all, nil
		}
		if page.Next <= after {
			return nil, fail(ErrBadResponse, op, "the list goes round in circles")
		}
		after = page.Next
	}
}

// Announce tells the identity registry what others may know about this agent,
// and returns its record as it is then. ErrInvalidRequest says what is wrong
// with it, ErrNotFound that the registry keeps no such records: an original one
// does not.
func (c *Client) Announce(ctx context.Context, a Announcement) (Record, error) {
	const op = "announce agent"
	if err := c.needAgent(op); err != nil {
		return Record{}, err
	}
	var r Record
	err := c.asAgent(ctx, request{
		op: op, method: http.MethodPatch, path: "/directory/" + c.AgentID(), repeatable: true,
	}, a, &r)
	return r, err
}

// asAgent sends a request with the agent's id and secret and a proof for it.
func (c *Client) asAgent(ctx context.Context, r request, body, out any) error {
	r.prepare = func(h http.Header) (any, error) {
		proof, err := c.o.Credentials.Key.Proof(ProofParams{
			Method: r.method, URL: c.url(r.path), Now: c.o.Now, Random: c.o.Random,
		})
		if err != nil {
			return nil, err
		}
		h.Set("agent-id", c.o.Credentials.AgentID)
		h.Set("agent-secret", c.o.Credentials.AgentSecret)
		h.Set("dpop", proof)
		return body, nil
	}
	return c.do(ctx, r, out)
}
