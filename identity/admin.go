package identity

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Provider is what the identity registry says about a provider when it is registered.
type Provider struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Email  string `json:"contact_email"`
	Secret string `json:"provider_secret"` // told only once
}

// Agent is what the identity registry says about an agent. An original
// registry tells it in lists only.
type Agent struct {
	ID           string       `json:"agent_id"`
	ProviderID   string       `json:"provider_id"`
	Name         string       `json:"name"`
	CreatedAt    string       `json:"created_at"`
	UpdatedAt    string       `json:"updated_at"`
	Permissions  []Permission `json:"permissions"`
	RequireProof bool         `json:"require_proof"`
	Endpoint     string       `json:"endpoint"` // this and what follows is left out in lists
	Description  string       `json:"description"`
	Capabilities []string     `json:"capabilities"`
}

// Permission lets another agent, or all agents of a provider, talk to an
// agent. It takes one on each side.
type Permission struct {
	Type     string `json:"type"` // AllowAgent or AllowProvider
	TargetID string `json:"target_id"`
}

// The types of Permission.
const (
	AllowAgent    = "allow_agent"
	AllowProvider = "allow_provider"
)

// RegisterProvider makes a new provider; both arguments may be empty. It needs
// no credentials beyond the registry's URL. It is not repeated after an error
// that leaves open whether the provider exists.
func (c *Client) RegisterProvider(ctx context.Context, name, email string) (Provider, error) {
	body := map[string]string{}
	if name != "" {
		body["name"] = name
	}
	if email != "" {
		body["contact_email"] = email
	}
	var p Provider
	err := c.do(ctx, request{
		op: "register provider", method: http.MethodPost, path: "/providers/register",
		prepare: func(http.Header) (any, error) { return body, nil },
	}, &p)
	if err == nil && (p.ID == "" || p.Secret == "") {
		err = fail(ErrBadResponse, "register provider", "id or secret missing")
	}
	return p, err
}

// RegisterAgent makes a new agent of the provider in the credentials and
// returns its id and secret, which is told only once. requireProof asks for
// tokens that are always bound to the key; about is what others may know of it.
// An original registry ignores all but the key, which has to be RSA. Like
// RegisterProvider, it is not always repeated.
func (c *Client) RegisterAgent(ctx context.Context, name string, key *PublicKey, requireProof bool, about Announcement) (id, secret string, err error) {
	const op = "register agent"
	body := struct {
		Provider     string `json:"provider_id"`
		Name         string `json:"name,omitempty"`
		Key          string `json:"dpop_public_key"`
		RequireProof bool   `json:"require_proof,omitempty"`
		Announcement
	}{c.o.Credentials.ProviderID, name, key.PEM(), requireProof, about}
	var answer struct {
		ID     string `json:"agent_id"`
		Secret string `json:"agent_secret"`
	}
	err = c.asProvider(ctx, request{op: op, method: http.MethodPost, path: "/agents/register"}, body, &answer)
	if err == nil && (!isUUIDv4(answer.ID) || answer.Secret == "") {
		err = fail(ErrBadResponse, op, "id or secret missing")
	}
	return answer.ID, answer.Secret, err
}

// Agent returns what the registry knows about an agent of the provider.
func (c *Client) Agent(ctx context.Context, id string) (Agent, error) {
	var a Agent
	err := c.asProvider(ctx, request{
		op: "get agent", method: http.MethodGet, path: "/agents/" + id, repeatable: true,
	}.forAgent(id), nil, &a)
	return a, err
}

// Agents returns all agents of the provider.
func (c *Client) Agents(ctx context.Context) ([]Agent, error) {
	const page = 1000
	var all []Agent
	for {
		var answer struct {
			Agents []Agent `json:"agents"`
		}
		err := c.asProvider(ctx, request{
			op: "list agents", method: http.MethodGet, repeatable: true,
			path:  "/providers/list-agents/" + c.o.Credentials.ProviderID,
			query: url.Values{"skip": {strconv.Itoa(len(all))}, "limit": {strconv.Itoa(page)}},
		}, nil, &answer)
		if err != nil {
			return nil, err
		}
		all = append(all, answer.Agents...)
		if len(answer.Agents) < page {
			return all, nil
		}
	}
}

// DeleteAgent removes an agent of the provider. After an error that leaves
// open whether it was removed it is tried again, so ErrNotFound may mean success.
func (c *Client) DeleteAgent(ctx context.Context, id string) error {
	return c.asProvider(ctx, request{
		op: "delete agent", method: http.MethodDelete, path: "/agents/delete", repeatable: true,
		query: url.Values{"agent_id": {id}},
	}.forAgent(id), nil, new(any))
}

// Permissions returns what an agent of the provider permits.
func (c *Client) Permissions(ctx context.Context, id string) ([]Permission, error) {
	return c.permissions(ctx, http.MethodGet, id, nil)
}

// SetPermissions replaces all permissions of an agent and returns them.
func (c *Client) SetPermissions(ctx context.Context, id string, all []Permission) ([]Permission, error) {
	if all == nil {
		all = []Permission{}
	}
	return c.permissions(ctx, http.MethodPut, id, all)
}

// ChangePermissions removes permissions of an agent, then adds others, and
// returns all that it has now.
func (c *Client) ChangePermissions(ctx context.Context, id string, add, remove []Permission) ([]Permission, error) {
	body := map[string][]Permission{}
	if len(add) > 0 {
		body["add"] = add
	}
	if len(remove) > 0 {
		body["remove"] = remove
	}
	return c.permissions(ctx, http.MethodPatch, id, body)
}

func (c *Client) permissions(ctx context.Context, method, id string, body any) ([]Permission, error) {
	var answer struct {
		Permissions []Permission `json:"permissions"`
		Current     []Permission `json:"current_permissions"` // the name in answers to PATCH
	}
	op := map[string]string{http.MethodGet: "get", http.MethodPut: "set", http.MethodPatch: "change"}[method] + " permissions"
	err := c.asProvider(ctx, request{
		op: op, method: method, path: "/agents/" + id + "/permissions", repeatable: true,
	}.forAgent(id), body, &answer)
	return append(answer.Permissions, answer.Current...), err
}

// forAgent makes a request fail if id is not the id of an agent, which would make the path another one.
func (r request) forAgent(id string) request {
	if !isUUIDv4(id) {
		r.prepare = func(http.Header) (any, error) {
			return nil, fail(ErrInvalidRequest, r.op, "the agent id is not a UUIDv4 in lower case")
		}
	}
	return r
}

// asProvider sends a request with the provider's secret.
func (c *Client) asProvider(ctx context.Context, r request, body, out any) error {
	if c.o.Credentials.ProviderSecret == "" {
		return fail(ErrInvalidCredentials, r.op, "no provider id and secret given")
	}
	if r.prepare == nil {
		r.prepare = func(h http.Header) (any, error) {
			h.Set("provider-secret", c.o.Credentials.ProviderSecret)
			return body, nil
		}
	}
	return c.do(ctx, r, out)
}
