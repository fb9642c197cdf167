package server

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
)

func (r *rig) granted(a testAgent) []permission {
	r.t.Helper()
	var v struct {
		Agent string       `json:"agent_id"`
		List  []permission `json:"permissions"`
	}
	got := r.call("GET", "/agents/"+a.id+"/permissions", nil, a.owner.auth()...).want(200)
	if err := json.Unmarshal(got.body, &v); err != nil || v.Agent != a.id || v.List == nil {
		r.t.Fatalf("answer %s (%v)", got.body, err)
	}
	return v.List
}

func TestAddedPermissionsAreReallyStored(t *testing.T) { // D32
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	a, b, c := r.agent(p), r.agent(p), r.agent(p)
	patch := func(body string) reply {
		return r.call("PATCH", "/agents/"+a.id+"/permissions", body, p.auth()...)
	}
	entry := func(id string) string { return `{"type":"allow_agent","target_id":"` + id + `"}` }
	patch(`{"add":[` + entry(b.id) + `]}`).want(200)
	got := patch(`{"add":[` + entry(c.id) + `]}`).want(200)
	want := []permission{{allowAgent, b.id}, {allowAgent, c.id}}
	var answer struct {
		Agent string       `json:"agent_id"`
		List  []permission `json:"current_permissions"`
	}
	if err := json.Unmarshal(got.body, &answer); err != nil || answer.Agent != a.id || !reflect.DeepEqual(answer.List, want) {
		t.Fatalf("answer %s", got.body)
	}
	if stored := r.granted(a); !reflect.DeepEqual(stored, want) {
		t.Fatalf("stored %v", stored)
	}
	patch(`{"add":[` + entry(b.id) + `]}`).want(200) // a no-op
	patch(`{"remove":[` + entry(b.id) + `],"add":[` + entry(b.id) + `]}`).want(200)
	if stored := r.granted(a); !reflect.DeepEqual(stored, []permission{want[1], want[0]}) {
		t.Fatalf("after remove and add: %v", stored)
	}
	patch(`{"remove":[` + entry(b.id) + `,` + entry(c.id) + `]}`).want(200)
	patch(`{"remove":[` + entry(b.id) + `]}`).want(200) // D33: absent is fine
	patch(`{"remove":null,"add":null}`).want(200)
	patch(`{}`).want(200)
	if stored := r.granted(a); len(stored) != 0 {
		t.Fatalf("stored %v", stored)
	}
}

func TestPutReplacesAllPermissions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	a, b := r.agent(p), r.agent(p)
	put := func(body any) reply { return r.call("PUT", "/agents/"+a.id+"/permissions", body, p.auth()...) }
	put([]permission{{allowAgent, b.id}}).want(200)
	got := put([]permission{{allowProvider, p.id}, {allowProvider, p.id}}).want(200)
	if string(got.body) != `{"agent_id":"`+a.id+`","permissions":[{"type":"allow_provider","target_id":"`+p.id+`"}]}` {
		t.Fatalf("answer %s", got.body)
	}
	put([]permission{{allowAgent, b.id}, {allowAgent, uuid.NewString()}}).want(400)
	if stored := r.granted(a); !reflect.DeepEqual(stored, []permission{{allowProvider, p.id}}) {
		t.Fatalf("a refused change left %v", stored)
	}
	if got := put("[]").want(200); string(got.body) != `{"agent_id":"`+a.id+`","permissions":[]}` {
		t.Fatalf("answer %s", got.body)
	}
	r.call("PUT", "/agents/"+a.id+"/permissions", []permission{{allowAgent, strings.ToUpper(b.id)}}, "x-api-key", adminKey).want(200)
	if stored := r.granted(a); !reflect.DeepEqual(stored, []permission{{allowAgent, b.id}}) {
		t.Fatalf("stored %v", stored)
	}
}

func TestPermissionInputIsChecked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.agent(r.provider())
	put := func(body string) reply {
		return r.call("PUT", "/agents/"+a.id+"/permissions", body, a.owner.auth()...)
	}
	put(`{}`).problem("list_type", "body")
	put(`null`).problem("list_type", "body")
	put(`[5]`).problem("model_attributes_type", "body", 0)
	put(`[{"type":"allow_agent"}]`).problem("missing", "body", 0, "target_id")
	put(`[{"target_id":"`+a.id+`"}]`).problem("missing", "body", 0, "type")
	put(`[{"type":"deny","target_id":"`+a.id+`"}]`).problem("enum", "body", 0, "type")
	put(`[{"type":"allow_agent","target_id":"x"}]`).problem("uuid_parsing", "body", 0, "target_id")
	put(`[{"type":"allow_provider","target_id":"a/b"}]`).problem("value_error", "body", 0, "target_id")
	put(`[{"type":"allow_provider","target_id":"no such one"}]`).want(400)
	put(`[{"type":"allow_agent","target_id":"` + a.owner.id + `"}]`).want(400) // a provider is no agent
	r.call("PATCH", "/agents/"+a.id+"/permissions", `{"add":[{"type":"deny","target_id":"x"}]}`, a.owner.auth()...).
		problem("enum", "body", "add", 0, "type")
	r.call("PATCH", "/agents/"+a.id+"/permissions", `{"remove":{}}`, a.owner.auth()...).problem("list_type", "body", "remove")
}

func TestPermissionsPerAgentAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Limits.PermissionsPerAgent = 3 })
	p := r.provider()
	a := r.agent(p)
	var all []permission
	for range 4 {
		all = append(all, permission{allowAgent, r.agent(p).id})
	}
	r.call("PUT", "/agents/"+a.id+"/permissions", all, p.auth()...).problem("too_long", "body")
	r.call("PUT", "/agents/"+a.id+"/permissions", all[:3], p.auth()...).want(200)
	r.call("PATCH", "/agents/"+a.id+"/permissions", map[string]any{"add": all[3:]}, p.auth()...).want(400)
	if stored := r.granted(a); len(stored) != 3 {
		t.Fatalf("%d stored", len(stored))
	}
}

func TestConcurrentGrantsAreAllKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Dir = t.TempDir() })
	p := r.provider()
	a := r.agent(p)
	targets := make([]testAgent, 20)
	for i := range targets {
		targets[i] = r.agent(p)
	}
	var wg sync.WaitGroup
	errs := make(chan error, len(targets))
	for _, b := range targets {
		wg.Go(func() {
			got := r.call("PATCH", "/agents/"+a.id+"/permissions", map[string]any{"add": []permission{{allowAgent, b.id}}}, p.auth()...)
			if got.status != 200 {
				errs <- fmt.Errorf("status %d: %s", got.status, got.body)
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if stored := r.granted(a); len(stored) != len(targets) {
		t.Fatalf("%d of %d stored", len(stored), len(targets))
	}
}
