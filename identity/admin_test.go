package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestAdministrationSpeaksTheRegistrysRoutes(t *testing.T) {
	t.Parallel()
	key := rsaKey().Public()
	pem, err := json.Marshal(key.PEM())
	if err != nil {
		t.Fatal(err)
	}
	perms := []Permission{{AllowAgent, testTarget}}
	const permJSON = `[{"type":"allow_agent","target_id":"` + testTarget + `"}]`
	agentJSON := `{"agent_id":"` + testAgent + `","provider_id":"p","name":"n","created_at":"c","updated_at":null,"permissions":` + permJSON + `}`
	agent := Agent{ID: testAgent, ProviderID: "p", Name: "n", CreatedAt: "c", Permissions: perms}
	for _, test := range []struct {
		call         func(c *Client) (any, error)
		method, path string
		body, answer string
		want         any
		noSecret     bool
	}{
		{func(c *Client) (any, error) { return c.RegisterProvider(t.Context(), "", "") },
			"POST", "/providers/register", `{}`, `{"id":"i","provider_secret":"s","name":null}`, Provider{ID: "i", Secret: "s"}, true},
		{func(c *Client) (any, error) { return c.RegisterProvider(t.Context(), "n", "a@b.c") },
			"POST", "/providers/register", `{"contact_email":"a@b.c","name":"n"}`, `{"id":"i","provider_secret":"s"}`, Provider{ID: "i", Secret: "s"}, true},
		{func(c *Client) (any, error) {
			id, secret, err := c.RegisterAgent(t.Context(), "n", key, true, Announcement{})
			return id + secret, err
		}, "POST", "/agents/register", `{"provider_id":"` + testProvider + `","name":"n","dpop_public_key":` + string(pem) + `,"require_proof":true}`,
			`{"agent_id":"` + testAgent + `","agent_secret":"s"}`, testAgent + "s", false},
		{func(c *Client) (any, error) {
			id, secret, err := c.RegisterAgent(t.Context(), "", key, false, Announcement{new("wss://a.example/ws"), new("d"), []string{"c"}})
			return id + secret, err
		}, "POST", "/agents/register", `{"provider_id":"` + testProvider + `","dpop_public_key":` + string(pem) +
			`,"endpoint":"wss://a.example/ws","description":"d","capabilities":["c"]}`,
			`{"agent_id":"` + testAgent + `","agent_secret":"s"}`, testAgent + "s", false},
		{func(c *Client) (any, error) { return c.Agent(t.Context(), testAgent) },
			"GET", "/agents/" + testAgent, "", agentJSON, agent, false},
		{func(c *Client) (any, error) { return c.Agents(t.Context()) },
			"GET", "/providers/list-agents/" + testProvider + "?limit=1000&skip=0", "", `{"agents":[` + agentJSON + `]}`, []Agent{agent}, false},
		{func(c *Client) (any, error) { return nil, c.DeleteAgent(t.Context(), testAgent) },
			"DELETE", "/agents/delete?agent_id=" + testAgent, "", `{"status":"success"}`, nil, false},
		{func(c *Client) (any, error) { return c.Permissions(t.Context(), testAgent) },
			"GET", "/agents/" + testAgent + "/permissions", "", `{"permissions":` + permJSON + `}`, perms, false},
		{func(c *Client) (any, error) { return c.SetPermissions(t.Context(), testAgent, nil) },
			"PUT", "/agents/" + testAgent + "/permissions", `[]`, `{"permissions":[]}`, []Permission{}, false},
		{func(c *Client) (any, error) { return c.SetPermissions(t.Context(), testAgent, perms) },
			"PUT", "/agents/" + testAgent + "/permissions", permJSON, `{"permissions":` + permJSON + `}`, perms, false},
		{func(c *Client) (any, error) { return c.ChangePermissions(t.Context(), testAgent, perms, nil) },
			"PATCH", "/agents/" + testAgent + "/permissions", `{"add":` + permJSON + `}`, `{"current_permissions":` + permJSON + `}`, perms, false},
		{func(c *Client) (any, error) { return c.ChangePermissions(t.Context(), testAgent, nil, perms) },
			"PATCH", "/agents/" + testAgent + "/permissions", `{"remove":` + permJSON + `}`, `{"current_permissions":[]}`, []Permission(nil), false},
	} {
		var seen string
		g := newRegistry(newClock().now)
		g.before = func(w http.ResponseWriter, r *http.Request) bool {
			var body []byte
			if r.Body != nil {
				body, _ = io.ReadAll(r.Body)
			}
			seen = fmt.Sprintf("%s %s %s %s", r.Method, strings.TrimPrefix(r.URL.RequestURI(), "/base"), body, r.Header.Get("provider-secret"))
			return answer(200, test.answer)(w, r)
		}
		c := g.client(t, testAgent, rsaKey(), func(o *ClientOptions) {
			o.Credentials.ProviderID, o.Credentials.ProviderSecret = testProvider, "ps"
		})
		got, err := test.call(c)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s %s = %+v, %v, want %+v", test.method, test.path, got, err, test.want)
		}
		secret := "ps"
		if test.noSecret {
			secret = ""
		}
		if want := fmt.Sprintf("%s %s %s %s", test.method, test.path, test.body, secret); seen != want {
			t.Errorf("sent %s, want %s", seen, want)
		}
	}
}

func TestAgentListIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	g := newRegistry(newClock().now)
	g.before = func(w http.ResponseWriter, r *http.Request) bool {
		n := 1000
		if r.URL.Query().Get("skip") == "1000" {
			n = 1
		}
		return answer(200, `{"agents":[`+strings.TrimSuffix(strings.Repeat(`{"agent_id":"x"},`, n), ",")+`]}`)(w, r)
	}
	c := g.client(t, testAgent, rsaKey(), func(o *ClientOptions) {
		o.Credentials.ProviderID, o.Credentials.ProviderSecret = testProvider, "ps"
	})
	if all, err := c.Agents(t.Context()); err != nil || len(all) != 1001 {
		t.Errorf("%d agents, %v", len(all), err)
	}
}

func TestAgentIDsCannotChangeTheRoute(t *testing.T) {
	t.Parallel()
	g := newRegistry(newClock().now)
	c := g.client(t, testAgent, rsaKey(), func(o *ClientOptions) {
		o.Credentials.ProviderID, o.Credentials.ProviderSecret = testProvider, "ps"
	})
	for _, id := range []string{"", "../providers/register", testAgent + "/permissions", testAgent + "?x=1"} {
		_, agentErr := c.Agent(t.Context(), id)
		_, permErr := c.SetPermissions(t.Context(), id, nil)
		for _, err := range []error{agentErr, permErr, c.DeleteAgent(t.Context(), id)} {
			if !errors.Is(err, ErrInvalidRequest) {
				t.Errorf("%q: err = %v", id, err)
			}
		}
	}
	if len(g.asked) != 0 {
		t.Errorf("asked %v", g.asked)
	}
}
