package server

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/pando-agents/pando/identity"
)

// The stores that are compared: in memory and in a directory.
func eachStore(b *testing.B, f func(b *testing.B, r *rig)) {
	for _, where := range []string{"memory", "file"} {
		b.Run(where, func(b *testing.B) {
			f(b, newRig(b, func(o *Options) {
				if where == "file" {
					o.Dir = b.TempDir()
				}
				o.Logger = slog.New(slog.DiscardHandler)
				o.Limits.Address.Requests, o.Limits.Principal.Requests = -1, -1
			}))
		})
	}
}

// BenchmarkVerifyToken is POST /tokens/verify without the network.
func BenchmarkVerifyToken(b *testing.B) {
	eachStore(b, func(b *testing.B, r *rig) {
		from, to := r.pair()
		token := r.token(from, to)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				req := httptest.NewRequest("POST", r.url+"/tokens/verify", nil)
				req.Header.Set("authorization", "Bearer "+token)
				req.Header.Set("target-agent-id", to.id)
				w := httptest.NewRecorder()
				if r.s.Handler().ServeHTTP(w, req); w.Code != 200 {
					b.Error(w.Body)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	})
}

// BenchmarkSign is the part of POST /tokens/create that no store can speed up.
func BenchmarkSign(b *testing.B) {
	r := newRig(b)
	for b.Loop() {
		if _, _, err := r.s.signer.sign(grant{id: uuid.NewString(), subject: "a", target: "b"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCreateToken is POST /tokens/create without the network, all of it
// and up to the signature. Proofs are made beforehand.
func BenchmarkCreateToken(b *testing.B) {
	for name, status := range map[string]int{"signed": 200, "unsigned": 400} {
		b.Run(name, func(b *testing.B) {
			eachStore(b, func(b *testing.B, r *rig) {
				from, to := r.agent(r.provider()), r.agent(r.provider())
				if status == 200 {
					r.grant(from, to)
					r.grant(to, from)
				}
				benchmarkCreate(b, r, from, to.id, status)
			})
		})
	}
}

func benchmarkCreate(b *testing.B, r *rig, from testAgent, to string, status int) {
	proofs := make([]string, b.N)
	for i := range proofs {
		proofs[i] = r.proof(from.key, "/tokens/create", func(p *identity.ProofParams) { p.Nonce = uuid.NewString() })
	}
	var next atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			body := `{"target_agent_id":"` + to + `","dpop_proof":"` + proofs[next.Add(1)-1] + `"}`
			req := httptest.NewRequest("POST", r.url+"/tokens/create", strings.NewReader(body))
			req.Header.Set("agent-id", from.id)
			req.Header.Set("agent-secret", from.secret)
			req.Header.Set("dpop-public-key", from.key.Public().HeaderValue())
			w := httptest.NewRecorder()
			if r.s.Handler().ServeHTTP(w, req); w.Code != status {
				b.Error(w.Body)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
