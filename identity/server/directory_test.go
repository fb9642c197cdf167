package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pando-agents/pando/identity"
)

// asAgent sends a request as an agent, with a proof for it.
func (r *rig) asAgent(a testAgent, method, path string, body any, more ...string) reply {
	r.t.Helper()
	route, _, _ := strings.Cut(path, "?")
	proof := r.proof(a.key, route, func(p *identity.ProofParams) { p.Method = method })
	return r.call(method, path, body, append([]string{"agent-id", a.id, "agent-secret", a.secret, "dpop", proof}, more...)...)
}

func (r *rig) announced(a testAgent) string {
	r.t.Helper()
	got := r.asAgent(a, "GET", "/directory/"+a.id, nil).want(200).object()
	if got["agent_id"] != a.id || len(got) != 5 {
		r.t.Fatalf("record %v", got)
	}
	return fmt.Sprint(got["endpoint"], " ", got["description"], " ", got["capabilities"])
}

func TestAgentIsFoundByThoseWhoMayTalkToIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	body := map[string]any{"endpoint": "wss://b.example/ws", "description": "Übersetzt", "capabilities": []string{"translate", "ü"}}
	want := `{"agent_id":"` + b.id + `","name":"bruno","endpoint":"wss://b.example/ws","description":"Übersetzt","capabilities":["translate","ü"]}`
	r.call("PATCH", "/agents/"+b.id, `{"name":"bruno"}`, b.owner.auth()...).want(200)
	if got := string(r.asAgent(b, "PATCH", "/directory/"+b.id, body).want(200).body); got != want {
		t.Errorf("announced %s", got)
	}
	for _, path := range []string{"/directory/" + b.id, "/directory/" + strings.ToUpper(b.id)} {
		if got := string(r.asAgent(a, "GET", path, nil).want(200).body); got != want {
			t.Errorf("found %s", got)
		}
	}
	if got := string(r.asAgent(a, "GET", "/directory", nil).want(200).body); got != `{"agents":[`+want+`]}` {
		t.Errorf("listed %s", got)
	}
	if got := string(r.asAgent(b, "GET", "/directory", nil).want(200).body); got != `{"agents":[{"agent_id":"`+a.id+`","name":"`+
		r.call("GET", "/agents/"+a.id, nil, a.owner.auth()...).text("name")+`","endpoint":"","description":"","capabilities":[]}]}` {
		t.Errorf("listed %s", got)
	}
}

func TestAnnouncementComesAtRegistrationFromTheAgentOrFromItsProvider(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	a := r.agent(p, "endpoint", "ws://10.0.0.1/ws", "description", "d", "capabilities", []string{"x"})
	if got := r.announced(a); got != "ws://10.0.0.1/ws d [x]" {
		t.Errorf("registered: %s", got)
	}
	for _, step := range []struct{ body, want string }{
		{`{}`, "ws://10.0.0.1/ws d [x]"},
		{`{"endpoint":"wss://a.example"}`, "wss://a.example d [x]"},
		{`{"description":null,"capabilities":["y","z"]}`, "wss://a.example  [y z]"},
		{`{"endpoint":"","description":"d"}`, " d [y z]"},
		{`{"endpoint":"wss://a.example","capabilities":null}`, "wss://a.example d []"},
		{`{"endpoint":null,"description":"","capabilities":["x"],"name":"n","status":"inactive","require_proof":true}`, "  [x]"},
		{`{"capabilities":[]}`, "  []"},
	} {
		r.asAgent(a, "PATCH", "/directory/"+a.id, step.body).want(200)
		if got := r.announced(a); got != step.want {
			t.Errorf("%s: %s, want %s", step.body, got, step.want)
		}
	}
	info := r.call("PATCH", "/agents/"+a.id, `{"endpoint":"wss://b.example","capabilities":["q"]}`, p.auth()...).want(200).object()
	if info["endpoint"] != "wss://b.example" || info["description"] != "" || fmt.Sprint(info["capabilities"]) != "[q]" {
		t.Errorf("agent %v", info)
	}
	// An agent changes what it says, not what it is.
	if info["name"] == "n" || info["status"] != "active" || info["require_proof"] != false {
		t.Errorf("agent %v", info)
	}
	if got := r.call("GET", "/agents/"+a.id, nil, p.auth()...).want(200).text("endpoint"); got != "wss://b.example" {
		t.Errorf("endpoint %q", got)
	}
	r.call("PATCH", "/agents/"+a.id, `{"endpoint":"x"}`, r.provider().auth()...).want(404)
}

func TestListsOfProvidersStayShort(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	r.agent(p, "endpoint", "wss://a.example", "description", "d")
	for _, path := range []string{"/providers/list-agents/" + p.id, "/providers/" + p.id + "/agents"} {
		if got := string(r.call("GET", path, nil, p.auth()...).want(200).body); strings.Contains(got, "endpoint") || !strings.Contains(got, `"require_proof":false}`) {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestAnnouncementsAreChecked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	a := r.agent(p, "endpoint", "wss://a.example")
	capabilities := func(n, length int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("%0*d", length, i))
		}
		return list
	}
	long := "wss://a.example/" + strings.Repeat("x", 2048-16)
	for _, c := range []struct {
		key   string
		value any
		kind  string // none: taken
		loc   []any
	}{
		{key: "endpoint", value: long},
		{"endpoint", long + "x", "value_error", nil},
		{"endpoint", 7, "string_type", nil},
		{"endpoint", "http://a.example", "value_error", nil},
		{"endpoint", "wss://u:p@a.example", "value_error", nil},
		{"endpoint", "wss://a.example/#f", "value_error", nil},
		{"endpoint", "wss://a.example/\n", "value_error", nil},
		{"endpoint", "a.example", "value_error", nil},
		{"endpoint", []string{}, "string_type", nil},
		{key: "description", value: strings.Repeat("ü", 512)},
		{"description", strings.Repeat("ü", 512) + "x", "value_error", nil},
		{"description", "two\nlines", "value_error", nil},
		{"description", "\x1b[2Jgone", "value_error", nil},
		{"description", "\u202egnp.exe", "value_error", nil},
		{"description", true, "string_type", nil},
		{key: "capabilities", value: capabilities(32, 64)},
		{"capabilities", capabilities(33, 2), "too_long", nil},
		{"capabilities", capabilities(1, 65), "value_error", []any{0}},
		{"capabilities", []string{"a", ""}, "value_error", []any{1}},
		{"capabilities", []string{"a", "b c"}, "value_error", []any{1}},
		{"capabilities", []string{"a\tb"}, "value_error", []any{0}},
		{"capabilities", []string{"a", "b", "a"}, "value_error", []any{2}},
		{"capabilities", []any{nil}, "value_error", []any{0}},
		{"capabilities", []any{1}, "list_type", nil},
		{"capabilities", "a,b", "list_type", nil},
		{"capabilities", map[string]any{}, "list_type", nil},
	} {
		body := map[string]any{c.key: c.value}
		register := map[string]any{c.key: c.value, "provider_id": p.id, "dpop_public_key": a.key.Public().PEM()}
		for _, got := range []reply{
			r.asAgent(a, "PATCH", "/directory/"+a.id, body), r.call("PATCH", "/agents/"+a.id, body, p.auth()...), r.call("POST", "/agents/register", register, p.auth()...),
		} {
			if c.kind == "" {
				got.want(200)
				continue
			}
			got.problem(c.kind, append([]any{"body", c.key}, c.loc...)...)
			if len(got.body) > 1000 {
				t.Errorf("answer of %d bytes", len(got.body))
			}
		}
	}
	r.asAgent(a, "PATCH", "/directory/"+a.id, "[]").problem("model_attributes_type", "body")
	r.asAgent(a, "PATCH", "/directory/"+a.id, nil).problem("missing", "body")
	if got := r.announced(a); got != fmt.Sprint(long, " ", strings.Repeat("ü", 512), " ", capabilities(32, 64)) {
		t.Errorf("refused announcements changed the record: %s", got)
	}
}

// Every way for two agents not to be allowed to talk, and every answer that an
// agent then gets about the other.
func TestWhoMayNotTalkToAnAgentCannotFindOutThatItExists(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, q := r.provider(), r.provider()
	a := r.agent(p)
	named := map[string]string{"nobody": uuid.NewString(), "a provider": q.id}
	add := func(name string, prepare func(b testAgent)) {
		b := r.agent(q, "endpoint", "wss://"+strings.ReplaceAll(name, " ", "-")+".example/")
		prepare(b)
		named[name] = b.id
	}
	both := func(b testAgent) { r.grant(a, b); r.grant(b, a) }
	add("a stranger", func(testAgent) {})
	add("only a permits", func(b testAgent) { r.grant(a, b) })
	add("only b permits", func(b testAgent) { r.grant(b, a) })
	add("revoked", func(b testAgent) {
		both(b)
		r.call("PUT", "/agents/"+b.id+"/permissions", "[]", q.auth()...).want(200)
	})
	add("inactive", func(b testAgent) {
		both(b)
		r.call("PATCH", "/agents/"+b.id, `{"status":"inactive"}`, q.auth()...).want(200)
	})
	add("suspended", func(b testAgent) {
		both(b)
		r.call("PATCH", "/agents/"+b.id, `{"status":"suspended"}`, "x-api-key", adminKey).want(200)
	})
	add("deleted", func(b testAgent) {
		both(b)
		r.call("DELETE", "/agents/delete?agent_id="+b.id, nil, q.auth()...).want(200)
	})
	add("only b permits a's provider", func(b testAgent) {
		r.call("PUT", "/agents/"+b.id+"/permissions", []permission{{allowProvider, p.id}}, q.auth()...).want(200)
	})
	for name, id := range named {
		for _, got := range []reply{
			r.asAgent(a, "GET", "/directory/"+id, nil).want(404),
			r.asAgent(a, "PATCH", "/directory/"+id, `{"endpoint":"wss://evil.example/"}`).want(404),
			r.asAgent(a, "PATCH", "/directory/"+id, `{"endpoint":"nonsense"}`).want(404),
		} {
			want := r.asAgent(a, "GET", "/directory/"+uuid.NewString(), nil).want(404)
			if string(got.body) != string(want.body) || !maps.EqualFunc(got.header, want.header, slices.Equal) {
				t.Errorf("%s: %s %v, for nobody %s %v", name, got.body, got.header, want.body, want.header)
			}
		}
		r.create(a, id).want(400) // the rule is that for tokens
	}
	if got := string(r.asAgent(a, "GET", "/directory", nil).want(200).body); got != `{"agents":[]}` {
		t.Errorf("listed %s", got)
	}
}

func TestDirectoryFollowsTheRuleForTokens(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, q := r.provider(), r.provider()
	a, third := r.agent(p), r.agent(r.provider())
	// Whom a permits, and whom b permits.
	kinds := map[string]func(agent, provider string) []permission{
		"nobody": func(string, string) []permission { return []permission{} },
		"others": func(string, string) []permission {
			return []permission{{allowAgent, third.id}, {allowProvider, third.owner.id}}
		},
		"agent":    func(agent, _ string) []permission { return []permission{{allowAgent, agent}} },
		"provider": func(_, provider string) []permission { return []permission{{allowProvider, provider}} },
		"both": func(agent, provider string) []permission {
			return []permission{{allowProvider, provider}, {allowAgent, agent}}
		},
	}
	for mine, permitB := range kinds {
		for theirs, permitA := range kinds {
			b := r.agent(q)
			other := r.agent(q) // permits nobody
			r.call("PUT", "/agents/"+a.id+"/permissions", permitB(b.id, q.id), p.auth()...).want(200)
			r.call("PUT", "/agents/"+b.id+"/permissions", permitA(a.id, p.id), q.auth()...).want(200)
			granted := func(kind string) bool { return kind != "nobody" && kind != "others" }
			allowed := granted(mine) && granted(theirs)
			if got := r.asAgent(a, "GET", "/directory/"+b.id, nil).status; (got == 200) != allowed {
				t.Errorf("a permits %s, b permits %s: %d", mine, theirs, got)
			}
			if got := r.create(a, b.id).status; (got == 200) != allowed {
				t.Errorf("a permits %s, b permits %s: token %d", mine, theirs, got)
			}
			want := []string{}
			if allowed {
				want = append(want, b.id)
			}
			if got := r.listed(a, 100); !slices.Equal(got, want) {
				t.Errorf("a permits %s, b permits %s: listed %v", mine, theirs, got)
			}
			for _, gone := range []testAgent{b, other} {
				r.call("DELETE", "/agents/delete?agent_id="+gone.id, nil, q.auth()...).want(200)
			}
		}
	}
	// An agent that permits itself is no peer of its own.
	r.call("PUT", "/agents/"+a.id+"/permissions", []permission{{allowProvider, p.id}, {allowAgent, a.id}}, p.auth()...).want(200)
	if got := r.listed(a, 100); len(got) != 0 {
		t.Errorf("listed %v", got)
	}
}

// listed reads the list to its end, in pages of limit agents.
func (r *rig) listed(a testAgent, limit int) []string {
	r.t.Helper()
	ids, after := []string{}, ""
	for {
		var page struct {
			Agents []struct {
				ID string `json:"agent_id"`
			} `json:"agents"`
			Next *string `json:"next"`
		}
		got := r.asAgent(a, "GET", fmt.Sprintf("/directory?limit=%d&after=%s", limit, after), nil).want(200)
		if err := json.Unmarshal(got.body, &page); err != nil || len(page.Agents) > limit || len(got.body) > 1<<20 {
			r.t.Fatalf("%d bytes, %d agents: %v", len(got.body), len(page.Agents), err)
		}
		for _, x := range page.Agents {
			ids = append(ids, x.ID)
		}
		if page.Next == nil {
			return ids
		}
		if after = *page.Next; after != ids[len(ids)-1] {
			r.t.Fatalf("next %s after %v", after, ids)
		}
	}
}

func TestListOfPeersComesInPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	a := r.agent(p)
	r.call("PUT", "/agents/"+a.id+"/permissions", []permission{{allowProvider, p.id}}, p.auth()...).want(200)
	// As much text as an agent may have, all of which JSON has to escape.
	var capabilities []string
	for i := range maxCapabilities {
		capabilities = append(capabilities, fmt.Sprintf("%02d", i)+strings.Repeat("<", maxCapability-2))
	}
	var want []string
	for range 40 {
		b := r.agent(p, "endpoint", "wss://a.example/"+strings.Repeat("&", 2000), "description", strings.Repeat("<", maxDescription), "capabilities", capabilities)
		r.grant(b, a)
		want = append(want, b.id)
	}
	slices.Sort(want)
	for _, limit := range []int{1, 7, 39, 40, 41, 1000} {
		if got := r.listed(a, limit); !slices.Equal(got, want) {
			t.Errorf("limit %d: %d agents, want %d", limit, len(got), len(want))
		}
	}
	for query, where := range map[string]string{"limit=0": "limit", "limit=1001": "limit", "limit=x": "limit", "after=x": "after"} {
		if got := r.asAgent(a, "GET", "/directory?"+query, nil).want(422); !strings.Contains(string(got.body), `"query","`+where+`"`) {
			t.Errorf("%s: %s", query, got.body)
		}
	}
	if got := r.asAgent(a, "GET", "/directory?after="+want[len(want)-1], nil).want(200); string(got.body) != `{"agents":[]}` {
		t.Errorf("after the last: %s", got.body)
	}
}

func TestDirectoryIsForAgentsThatProveThemselves(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	for _, route := range []struct {
		method, path string
		body         any
	}{{"GET", "/directory/" + b.id, nil}, {"GET", "/directory", nil}, {"PATCH", "/directory/" + a.id, map[string]string{"endpoint": "wss://evil.example"}}} {
		proof := func(k *identity.Key, edit ...func(*identity.ProofParams)) string {
			return r.proof(k, route.path, append([]func(*identity.ProofParams){func(p *identity.ProofParams) { p.Method = route.method }}, edit...)...)
		}
		used := proof(a.key)
		r.call("GET", "/directory", nil, "agent-id", a.id, "agent-secret", a.secret, "dpop", r.proof(a.key, "/directory", func(p *identity.ProofParams) { p.Method = "GET" })).want(200)
		if route.method == "GET" {
			r.call(route.method, route.path, route.body, "agent-id", a.id, "agent-secret", a.secret, "dpop", used).want(200)
		} else {
			used = r.proof(a.key, "/tokens/create") // for another request
		}
		for name, c := range map[string]struct {
			status  int
			headers []string
		}{
			"nothing":            {422, nil},
			"no secret":          {401, []string{"agent-id", a.id, "dpop", proof(a.key)}},
			"no proof":           {422, []string{"agent-id", a.id, "agent-secret", a.secret}},
			"no id":              {422, []string{"agent-secret", a.secret, "dpop", proof(a.key)}},
			"bad id":             {400, []string{"agent-id", "x", "agent-secret", a.secret, "dpop", proof(a.key)}},
			"unknown id":         {401, []string{"agent-id", uuid.NewString(), "agent-secret", a.secret, "dpop", proof(a.key)}},
			"another's secret":   {401, []string{"agent-id", a.id, "agent-secret", b.secret, "dpop", proof(a.key)}},
			"another's proof":    {401, []string{"agent-id", a.id, "agent-secret", a.secret, "dpop", proof(b.key)}},
			"used proof":         {401, []string{"agent-id", a.id, "agent-secret", a.secret, "dpop", used}},
			"two proofs":         {422, []string{"agent-id", a.id, "agent-secret", a.secret, "dpop", proof(a.key), "dpop", proof(a.key)}},
			"not a proof":        {401, []string{"agent-id", a.id, "agent-secret", a.secret, "dpop", "x.y.z"}},
			"for another method": {401, []string{"agent-id", a.id, "agent-secret", a.secret, "dpop", proof(a.key, func(p *identity.ProofParams) { p.Method = "PUT" })}},
			"for another path":   {401, []string{"agent-id", a.id, "agent-secret", a.secret, "dpop", proof(a.key, func(p *identity.ProofParams) { p.URL += "x" })}},
			"a provider":         {422, b.owner.auth()},
			"the operator":       {422, []string{"x-api-key", adminKey}},
		} {
			if got := r.call(route.method, route.path, route.body, c.headers...); got.status != c.status {
				t.Errorf("%s %s with %s: %d %s", route.method, route.path, name, got.status, got.body)
			}
		}
	}
	if got := r.announced(a); got != "  []" {
		t.Errorf("somebody announced %s", got)
	}
	r.call("PATCH", "/agents/"+a.id, `{"status":"inactive"}`, a.owner.auth()...).want(200)
	for _, path := range []string{"/directory", "/directory/" + a.id, "/directory/" + b.id, "/directory/" + uuid.NewString()} {
		r.asAgent(a, "GET", path, nil).want(403)
	}
	r.asAgent(a, "PATCH", "/directory/"+a.id, `{"endpoint":"wss://a.example"}`).want(403)
}

func TestDirectoryRequestsCountForTheirAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Limits.Principal = Rate{Requests: 6} })
	a, b := r.pair()
	for range 6 {
		r.asAgent(a, "GET", "/directory/"+uuid.NewString(), nil).want(404)
	}
	r.asAgent(a, "GET", "/directory/"+b.id, nil).want(429)
	r.asAgent(b, "GET", "/directory/"+a.id, nil).want(200)
}

func TestSecretsOfDirectoryRequestsAreNotLogged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	proof := r.proof(a.key, "/directory", func(p *identity.ProofParams) { p.Method = "GET" })
	for _, status := range []int{200, 401} {
		r.call("GET", "/directory", nil, "agent-id", a.id, "agent-secret", a.secret, "dpop", proof).want(status)
	}
	r.asAgent(a, "PATCH", "/directory/"+a.id, `{"endpoint":"wss://a.example/?key=abc"}`).want(200)
	r.call("GET", "/directory", nil, "agent-id", a.id, "agent-secret", b.secret, "dpop", proof).want(401)
	for _, secret := range append(strings.Split(proof, ".")[1:], a.secret, b.secret, "key=abc") {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
}

func TestStoreOfAnOlderRegistryGetsTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := newRig(t, func(o *Options) { o.Dir = dir })
	a, b := old.pair()
	for _, q := range []string{
		"ALTER TABLE agents DROP COLUMN capabilities", "ALTER TABLE agents DROP COLUMN description", "ALTER TABLE agents DROP COLUMN endpoint",
		"DELETE FROM goose_db_version WHERE version_id = 2",
	} {
		if _, err := old.s.store.write.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.s.Close(); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) { o.Dir = dir })
	if got := r.announced(a); got != "  []" {
		t.Errorf("record %s", got)
	}
	r.asAgent(b, "PATCH", "/directory/"+b.id, `{"endpoint":"wss://b.example"}`).want(200)
	if got := r.asAgent(a, "GET", "/directory/"+b.id, nil).want(200).text("endpoint"); got != "wss://b.example" {
		t.Errorf("endpoint %q", got)
	}
}
