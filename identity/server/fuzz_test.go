package server

import "testing"

// FuzzBodies: whatever a body holds, the registry answers, and the fault is the client's.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `null`, `5`, `"x"`, `{"add":[{"type":"allow_agent","target_id":null}],"remove":5}`,
		`[{"type":"allow_agent","target_id":"{6ba7b810-9dad-11d1-80b4-00c04fd430c8}"}]`,
		`[{"type":"allow_provider","target_id":"   "}]`, `{"name":"\ud800abc"}`, `{"contact_email":"\"a b\"@x.y"}`,
		`{"provider_id":"x","dpop_public_key":"-----BEGIN PUBLIC KEY-----","status":1,"claimed":2}`,
		`{"target_agent_id":"x","dpop_proof":{},"bind":[]}`, `{"endpoint":"wss://[::1","description":null,"capabilities":["a",null,"a"]}`, "\x00", "{\"name\":\"\xff\"}",
	} {
		f.Add(seed)
	}
	r := newRig(f, func(o *Options) {
		o.Limits.Register.Requests, o.Limits.Address.Requests, o.Limits.Principal.Requests = -1, -1, -1
	})
	p := r.provider()
	a := r.agent(p)
	f.Fuzz(func(t *testing.T, body string) {
		r := &rig{t: t, s: r.s, clock: r.clock, url: r.url}
		for _, route := range [][2]string{
			{"POST", "/providers/register"}, {"PATCH", "/providers/" + p.id}, {"POST", "/agents/register"}, {"PATCH", "/agents/" + a.id},
			{"PUT", "/agents/" + a.id + "/permissions"}, {"PATCH", "/agents/" + a.id + "/permissions"},
			{"POST", "/tokens/create"}, {"POST", "/tokens/verify"},
		} {
			got := r.call(route[0], route[1], body, "provider-secret", p.secret, "agent-id", a.id, "agent-secret", a.secret,
				"dpop-public-key", a.key.Public().HeaderValue(), "authorization", "Bearer "+body)
			if got.status >= 500 {
				t.Errorf("%v: %d %s", route, got.status, got.body)
			}
		}
	})
}
