// Package inspect shows what the admin handler of an agent tells, once or again
// and again.
package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pando-agents/pando"
)

// Client asks the admin handler of one agent.
type Client struct {
	// Base is where the handler is mounted.
	Base *url.URL
	// Token is the admin token; empty means none.
	Token string
	// Channels is how many channels are asked for, Stacks whether the stacks
	// of panics are.
	Channels int
	Stacks   bool
	http     *http.Client
}

const (
	answerTime = 10 * time.Second
	maxAnswer  = 256 << 20 // bytes of a tree with as many channels as there may be
)

// NewClient returns a client that follows no redirects: they would take the
// token along.
func NewClient(base *url.URL, token string) *Client {
	return &Client{Base: base, Token: token, http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Tree returns what the agent shows now, and the JSON that it came in.
func (c *Client) Tree(ctx context.Context) (in pando.Inspection, raw []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	query := url.Values{"limit": {strconv.Itoa(c.Channels)}}
	if c.Stacks {
		query.Set("stacks", "1")
	}
	resp, err := c.get(ctx, "tree", query)
	if err != nil {
		return in, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return in, nil, fmt.Errorf("the answer of %s breaks off: %w", c.Base, err)
	}
	if err := json.Unmarshal(raw, &in); err != nil || in.Schema == 0 {
		return in, nil, fmt.Errorf("%s is not the admin handler of an agent: it answers something else", c.Base)
	}
	if in.Schema != pando.InspectionSchema {
		return in, raw, fmt.Errorf("the agent speaks schema %d and this program %d: use the pando of the agent's version, or --json",
			in.Schema, pando.InspectionSchema)
	}
	return in, raw, nil
}

// Events calls f with what happens until the stream or ctx ends.
func (c *Client) Events(ctx context.Context, f func(pando.InspectedEvent)) error {
	resp, err := c.get(ctx, "events", nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := json.NewDecoder(resp.Body); ; {
		var e pando.InspectedEvent
		if err := lines.Decode(&e); err != nil {
			return err
		}
		f(e)
	}
}

func (c *Client) get(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	u := c.Base.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	return nil, c.refused(resp)
}

func (c *Client) unreachable(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s does not answer within %v", c.Base, answerTime)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the URL is said already
	}
	return fmt.Errorf("%s cannot be reached: %w", c.Base, err)
}

// refused says what to do about an answer that shows nothing.
func (c *Client) refused(resp *http.Response) error {
	var told struct{ Error, Message string }
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	_ = json.Unmarshal(body, &told) // others answer other things
	switch {
	case resp.StatusCode == http.StatusUnauthorized && c.Token != "":
		return errors.New("the agent does not take this admin token")
	case resp.StatusCode == http.StatusUnauthorized:
		return errors.New("the agent wants its admin token: give --token-file FILE, or PANDO_ADMIN_TOKEN in the environment")
	case told.Error == "loopback_only":
		return errors.New("the agent shows itself to its own machine only, without a proxy between: it has no admin token")
	case told.Error == "upgrade_required":
		return fmt.Errorf("%s is the WebSocket endpoint of an agent: the admin handler is mounted elsewhere", c.Base)
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s has no admin handler: where has the agent mounted it?", c.Base)
	case told.Message != "":
		return fmt.Errorf("the agent answers: %s", printable(told.Message))
	}
	return fmt.Errorf("%s answers with status %d %s", c.Base, resp.StatusCode, http.StatusText(resp.StatusCode))
}

// ParseURL reads the URL of an admin handler. Whoever names one of its paths
// means the handler.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("URL is the http or https URL of an agent's admin handler, without a user") // it may have a password
	}
	u.RawQuery, u.Fragment = "", ""
	path := strings.TrimRight(u.Path, "/")
	path = strings.TrimSuffix(path, "/tree")
	u.Path = strings.TrimSuffix(path, "/events")
	return u, nil
}
