package server

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func keysOf(m map[string]any) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestProviderIsRegisteredWithASecretShownOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	got := r.call("POST", "/providers/register", `{"name":"My provider_1","contact_email":"me@example.org","colour":"red"}`).want(200).object()
	if want := []string{"claimed", "contact_email", "created_at", "id", "name", "provider_secret", "registered_user_id", "updated_at"}; !reflect.DeepEqual(keysOf(got), want) {
		t.Fatalf("keys %v", keysOf(got))
	}
	if got["name"] != "My provider_1" || got["contact_email"] != "me@example.org" || got["claimed"] != false ||
		got["updated_at"] != nil || got["registered_user_id"] != nil || got["created_at"] != "2026-03-01T09:30:00.123456+00:00" {
		t.Fatalf("answer %v", got)
	}
	if len(got["provider_secret"].(string)) != 43 {
		t.Errorf("secret of %d characters", len(got["provider_secret"].(string)))
	}
	auth := []string{"provider-secret", got["provider_secret"].(string)}
	after := r.call("PATCH", "/providers/"+got["id"].(string), `{"name":"Other name"}`, auth...).want(200).object()
	if _, again := after["provider_secret"]; again || after["name"] != "Other name" ||
		after["contact_email"] != "me@example.org" || after["updated_at"] == nil {
		t.Fatalf("answer %v", after)
	}
	cleared := r.call("PATCH", "/providers/"+got["id"].(string), `{"contact_email":null}`, auth...).want(200).object()
	if cleared["contact_email"] != nil || cleared["name"] != "Other name" {
		t.Fatalf("answer %v", cleared)
	}
}

func TestProviderInputIsChecked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	register := func(body string) reply { return r.call("POST", "/providers/register", body) }
	register(`{"name":"ab"}`).problem("string_pattern_mismatch", "body", "name")
	register(`{"name":"semi;colon"}`).problem("string_pattern_mismatch", "body", "name")
	register(`{"name":5}`).problem("string_type", "body", "name")
	register(`{"contact_email":"nobody"}`).problem("value_error", "body", "contact_email")
	register(`{"contact_email":"A <a@example.org>"}`).problem("value_error", "body", "contact_email")
	register(`{"email":"a@localhost"}`).problem("value_error", "body", "email")
	register(``).problem("missing", "body")
	register(`[]`).problem("model_attributes_type", "body")
	register(`{`).problem("json_invalid", "body", 0)
	register("{\"name\":\"\xff\xff\xff\"}").problem("json_invalid", "body", 0)
	if got := register(`{"email":"cli@example.org"}`).want(200).text("contact_email"); got != "cli@example.org" {
		t.Errorf("contact_email %q", got)
	}
	register(`{"name":null,"contact_email":null}`).want(200)
}

func TestOnlyTheOperatorClaimsProviders(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.call("POST", "/providers/register", `{"registered_user_id":"u1"}`).want(403)
	r.call("POST", "/providers/register", `{"registered_user_id":"u1"}`, "x-api-key", "wrong").want(403)
	got := r.call("POST", "/providers/register", `{"registered_user_id":"u1"}`, "x-api-key", adminKey).want(200).object()
	if got["claimed"] != true || got["registered_user_id"] != "u1" {
		t.Fatalf("answer %v", got)
	}
	p := r.provider()
	r.call("POST", "/providers/register", `{"registered_user_id":"u1"}`, p.auth()...).want(403)
	r.call("PATCH", "/providers/"+p.id, `{"claimed":true}`, p.auth()...).want(403)
	if got := r.call("PATCH", "/providers/"+p.id, `{"claimed":true}`, "x-api-key", adminKey).want(200).object(); got["claimed"] != true {
		t.Fatalf("answer %v", got)
	}
	r.call("PATCH", "/providers/"+p.id, `{"claimed":"perhaps"}`, "x-api-key", adminKey).problem("bool_parsing", "body", "claimed")
	r.call("PATCH", "/providers/"+uuid.NewString(), `{}`, "x-api-key", adminKey).want(404)
}

// administrative are the routes that need credentials, for one provider and agent.
func administrative(p, a string) map[string][2]string {
	return map[string][2]string{
		"PATCH provider":    {"PATCH", "/providers/" + p},
		"GET agents":        {"GET", "/providers/" + p + "/agents"},
		"GET list":          {"GET", "/providers/list-agents/" + p},
		"POST agent":        {"POST", "/agents/register"},
		"GET agent":         {"GET", "/agents/" + a},
		"PATCH agent":       {"PATCH", "/agents/" + a},
		"DELETE agent":      {"DELETE", "/agents/delete?agent_id=" + a},
		"GET permissions":   {"GET", "/agents/" + a + "/permissions"},
		"PUT permissions":   {"PUT", "/agents/" + a + "/permissions"},
		"PATCH permissions": {"PATCH", "/agents/" + a + "/permissions"},
	}
}

func TestMissingOrWrongCredentialsAre401InJSON(t *testing.T) { // D30
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	a := r.agent(p)
	for name, route := range administrative(p.id, a.id) {
		for _, auth := range [][]string{
			nil,
			{"provider-secret", ""},
			{"provider-secret", "wrong"},
			{"provider-secret", a.secret},
			{"x-api-key", "wrong"},
			{"x-api-key", ""},
			{"x-api-key", adminKey + " "},
			{"x-api-key", "wrong", "provider-secret", p.secret},
		} {
			got := r.call(route[0], route[1], "{}", auth...)
			if _, ok := got.object()["detail"].(string); got.status != 401 || !ok {
				t.Errorf("%s with %v: %d %s", name, auth, got.status, got.body)
			}
		}
		r.call(route[0], route[1], "{}", "provider-secret", p.secret, "provider-secret", p.secret).problem("value_error", "header", "provider-secret")
	}
}

func TestWithoutAnOperatorsKeyThereIsNoOperator(t *testing.T) { // D28
	t.Parallel()
	r := newRig(t, func(o *Options) { o.AdminKey = "" })
	p := r.provider()
	for _, key := range []string{"", "anything", adminKey} {
		r.call("GET", "/providers/list-agents/"+p.id, nil, "x-api-key", key).want(401)
		r.call("POST", "/providers/register", `{"registered_user_id":"u1"}`, "x-api-key", key).want(403)
		r.call("PATCH", "/providers/"+p.id, `{"claimed":true}`, append(p.auth(), "x-api-key", key)...).want(401)
	}
	r.call("PATCH", "/providers/"+p.id, `{"claimed":true}`, p.auth()...).want(403)
}

func TestAnotherProvidersThingsAreOutOfReach(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, q := r.provider(), r.provider()
	a := r.agent(p)
	key := a.key.Public().PEM()
	want := map[string]int{"GET agents": 401, "GET agent": 404, "PATCH agent": 404}
	for name, route := range administrative(p.id, a.id) {
		var body any = "[]"
		switch name {
		case "POST agent":
			body = map[string]string{"provider_id": p.id, "dpop_public_key": key}
		case "PATCH provider", "PATCH agent", "PATCH permissions":
			body = "{}"
		}
		status := 403 // D31: not 500
		if s, ok := want[name]; ok {
			status = s
		}
		if got := r.call(route[0], route[1], body, q.auth()...); got.status != status {
			t.Errorf("%s: %d %s, want %d", name, got.status, got.body, status)
		}
	}
	r.call("GET", "/agents/"+a.id, nil, p.auth()...).want(200)
}

func TestUnknownAgentsLookLikeOthersAgents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, q := r.provider(), r.provider()
	theirs, unknown := r.agent(q).id, uuid.NewString()
	for _, route := range []string{"GET ", "PATCH ", "GET /permissions", "PUT /permissions", "PATCH /permissions"} {
		method, suffix, _ := strings.Cut(route, " ")
		first := r.call(method, "/agents/"+theirs+suffix, "{}", p.auth()...)
		second := r.call(method, "/agents/"+unknown+suffix, "{}", p.auth()...)
		if first.status != second.status || string(first.body) != string(second.body) {
			t.Errorf("%s: %s and %s", route, first.body, second.body)
		}
	}
	for _, route := range administrative(p.id, unknown) {
		if strings.Contains(route[1], unknown) && !strings.Contains(route[1], p.id) {
			r.call(route[0], route[1], "{}", "x-api-key", adminKey).want(404)
		}
	}
}

func TestAgentsAreListedInPagesWithoutSecrets(t *testing.T) { // D25
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	var ids []string
	for range 5 {
		ids = append(ids, r.agent(p).id)
		r.clock.advance(1e6)
	}
	r.agent(r.provider())
	r.call("PUT", "/agents/"+ids[1]+"/permissions", []permission{{allowAgent, ids[0]}, {allowProvider, p.id}}, p.auth()...).want(200)

	page := r.call("GET", "/providers/list-agents/"+p.id+"?skip=1&limit=2", nil, p.auth()...).want(200).object()
	agents := page["agents"].([]any)
	if page["total"] != 2.0 || page["skip"] != 1.0 || page["limit"] != 2.0 || len(page) != 4 || len(agents) != 2 {
		t.Fatalf("page %v", page)
	}
	first := agents[0].(map[string]any)
	want := []string{"agent_id", "created_at", "name", "permissions", "provider_id", "require_proof", "status", "updated_at", "user_id"}
	if !reflect.DeepEqual(keysOf(first), want) || first["agent_id"] != ids[1] {
		t.Fatalf("agent %v", first)
	}
	granted, _ := json.Marshal(first["permissions"])
	if string(granted) != `[{"target_id":"`+ids[0]+`","type":"allow_agent"},{"target_id":"`+p.id+`","type":"allow_provider"}]` {
		t.Errorf("permissions %s", granted)
	}
	if none, _ := json.Marshal(agents[1].(map[string]any)["permissions"]); string(none) != "[]" {
		t.Errorf("permissions %s", none)
	}
	var all []map[string]any
	if err := json.Unmarshal(r.call("GET", "/providers/"+p.id+"/agents", nil, p.auth()...).want(200).body, &all); err != nil || len(all) != 5 {
		t.Fatalf("%d agents, %v", len(all), err)
	}
	for query, kind := range map[string]string{"skip=-1": "greater_than_equal", "skip=x": "int_parsing"} {
		r.call("GET", "/providers/list-agents/"+p.id+"?"+query, nil, p.auth()...).problem(kind, "query", "skip")
	}
	for query, kind := range map[string]string{"limit=0": "greater_than_equal", "limit=1001": "less_than_equal"} {
		r.call("GET", "/providers/list-agents/"+p.id+"?"+query, nil, p.auth()...).problem(kind, "query", "limit")
	}
	r.call("GET", "/providers/list-agents/"+p.id, nil, "x-api-key", adminKey).want(200)
	r.call("GET", "/providers/list-agents/"+uuid.NewString(), nil, "x-api-key", adminKey).want(404)
	r.call("GET", "/providers/list-agents/me", nil, "x-api-key", adminKey).problem("uuid_parsing", "path", "id")
	r.call("GET", "/providers/"+p.id+"/agents", nil, "x-api-key", adminKey).problem("missing", "header", "provider-secret")
}
